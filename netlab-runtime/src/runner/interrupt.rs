//! Ending a run in good order when its user wants it ended: SIGINT, SIGTERM, SIGHUP.
//!
//! ```text
//! signal -> pipe -> this thread: no more tests, all sandboxes killed
//!                   threads of the tests: sandbox reaped, the machine mended -> no test is running
//!                   this thread: dies of the same signal
//! ```
//!
//! Invariant: what a test's thread does between [`Running::begin`] and the drop of the [`Running`] is done to its end before the
//! process dies, unless a second signal comes. Whatever has to be undone belongs there.
//! Invariant: once a signal has come, no test has a result any more: none is told.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::registry::TestDef;
use crate::sandbox::{Failure, Outcome, end_all, human};
use crate::sys::interrupt::{self, Caught, SIGNALS};

/// How long the runner waits for its own signal when a test died of one that often comes to a whole process group.
const GRACE: Duration = Duration::from_millis(100);

static STATE: Mutex<State> = Mutex::new(State { ending: false, next: 0, running: Vec::new() });
static CHANGED: Condvar = Condvar::new();

struct State {
    ending: bool,
    next: u64,
    running: Vec<Entry>,
}

struct Entry {
    number: u64,
    name: &'static str,
    since: Instant,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a signal ends the run in good order. Only the first call does anything.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let started = interrupt::catch().and_then(|caught| match caught {
            Some(caught) => thread::Builder::new()
                .name("netlab-signals".to_owned())
                .spawn(move || attend(&caught))
                .map(drop),
            None => Ok(()),
        });
        if let Err(error) = started {
            // Then a signal ends this process as it ends any, and the sandboxes with it.
            eprintln!("netlab: signals cannot be attended to, and will end the run at once: {error}");
        }
    });
}

fn attend(caught: &Caught) {
    match caught.wait() {
        Ok(signal) => end(signal),
        Err(error) => eprintln!("netlab: signals cannot be attended to: {error}"),
    }
}

fn end(signal: Signal) -> ! {
    let mut state = state();
    state.ending = true;
    CHANGED.notify_all();
    // Not `eprint!`, which a test harness may keep to itself. Where standard error is closed, nobody wants to know.
    drop(io::stderr().write_all(farewell(signal, &state.running).as_bytes()));
    drop(state);
    end_all();
    let state = self::state();
    let none_runs = CHANGED.wait_while(state, |state| !state.running.is_empty());
    drop(none_runs.unwrap_or_else(PoisonError::into_inner));
    interrupt::die_of(signal)
}

/// What is said of the tests that a signal ends. It begins on a line of its own: the harness may be in the middle of one.
fn farewell(signal: Signal, running: &[Entry]) -> String {
    let which = match running {
        [] => "no test was running".to_owned(),
        [_] => "1 test was running".to_owned(),
        many => format!("{} tests were running", many.len()),
    };
    let mut text = format!("\nnetlab: ended by {signal}; {which}\n");
    for entry in running {
        text.push_str(&format!("    `{}`, for {}\n", entry.name, human(entry.since.elapsed())));
    }
    text
}

/// A test that is running: from the start of its sandbox until all that it did is undone.
#[derive(Debug)]
#[must_use = "the process may die once it is dropped"]
pub(super) struct Running(u64);

impl Running {
    /// Says that a test begins. When the run is being ended it does not begin, and this never returns.
    pub(super) fn begin(def: &TestDef) -> Self {
        let mut state = state();
        if state.ending {
            drop(state);
            wait_for_the_end();
        }
        let number = state.next;
        state.next += 1;
        state.running.push(Entry { number, name: def.name(), since: Instant::now() });
        Self(number)
    }

    /// Whether it was ended with the run, rather than by itself: whoever sends a signal to a whole process group ends the test,
    /// and it may take the runner a moment to learn of its own.
    pub(super) fn may_tell(&self, outcome: &Outcome) {
        let Outcome::Failed(Failure::Killed { signal, .. }) = outcome else { return };
        if SIGNALS.iter().any(|&ours| ours as i32 == *signal) {
            let waited = CHANGED.wait_timeout_while(state(), GRACE, |state| !state.ending);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = state();
        state.running.retain(|entry| entry.number != self.0);
        CHANGED.notify_all();
        if state.ending {
            drop(state);
            wait_for_the_end();
        }
    }
}

/// The process is about to die; this thread has nothing to add.
fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farewell_names_what_was_running() {
        let entry = |name| Entry { number: 0, name, since: Instant::now() };
        assert_eq!(farewell(Signal::SIGINT, &[]), "\nnetlab: ended by SIGINT; no test was running\n");
        let text = farewell(Signal::SIGTERM, &[entry("a::b"), entry("c")]);
        assert!(
            text.starts_with("\nnetlab: ended by SIGTERM; 2 tests were running\n    `a::b`, for 0ms\n"),
            "{text}"
        );
    }
}
