//! Programs that ended while nobody had asked them to: told at once, and held against their test.

use std::io::{self, Write};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::error::ProgramErrorKind;
use super::program::Program;

/// All programs of this process that may be running.
static RUNNING: Mutex<Vec<Weak<Program>>> = Mutex::new(Vec::new());
/// Those that ended unasked.
static UNASKED: Mutex<Vec<Arc<Program>>> = Mutex::new(Vec::new());
/// Whether the body has returned: what ends now ends with its test.
static OVER: AtomicBool = AtomicBool::new(false);

/// Has a program count.
pub(super) fn watch(program: &Arc<Program>) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|program| program.strong_count() > 0);
    running.push(Arc::downgrade(program));
}

/// A program has ended unasked.
pub(super) fn tell(program: &Arc<Program>, status: ExitStatus) {
    if OVER.load(Ordering::Relaxed) {
        return;
    }
    let line = format!(
        "netlab: {} ended unasked ({status}); unless the test waits for it, that fails the test (`.may_exit()` allows it)\n",
        program.what()
    );
    // In one piece: others write, too. Where that is not heard, the failure is.
    drop(io::stderr().write_all(line.as_bytes()));
    UNASKED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(program));
}

/// Ends the watch, after the body of the test: shows what programs have yet to say, and gives what is to be held against
/// the test.
pub(crate) fn conclude() -> Option<String> {
    let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    for program in running.iter().filter_map(Weak::upgrade) {
        program.look_for_the_end();
        program.tell_if_unasked();
        program.finish();
    }
    OVER.store(true, Ordering::Relaxed);
    let unasked = std::mem::take(&mut *UNASKED.lock().unwrap_or_else(PoisonError::into_inner));
    let errors: Vec<_> = unasked
        .iter()
        .filter(|program| !program.may_end())
        .filter_map(|program| {
            let error = program.error(ProgramErrorKind::Ended(program.ended()?));
            Some(format!("{error}"))
        })
        .collect();
    (!errors.is_empty()).then(|| {
        format!(
            "{}\n  nobody had asked it to: a program that may end by itself is started with `.may_exit()`, or waited for",
            errors.join("\n")
        )
    })
}
