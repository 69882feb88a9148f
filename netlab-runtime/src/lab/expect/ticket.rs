//! Expectations that wait to be checked: a test that never does so fails.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Waiting = (&'static Location<'static>, Vec<String>);

/// What waits in this process, which is one test's, in the order of the test.
static WAITING: Mutex<BTreeMap<u64, Waiting>> = Mutex::new(BTreeMap::new());

/// The place of some expectations in the list of those that wait.
#[derive(Debug)]
pub(super) struct Ticket(u64);

impl Ticket {
    #[track_caller]
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = Self(NEXT.fetch_add(1, Ordering::Relaxed));
        waiting().insert(ticket.0, (Location::caller(), Vec::new()));
        ticket
    }

    /// Another expectation waits.
    pub(super) fn add(&self, expectation: String) {
        if let Some((_, expectations)) = waiting().get_mut(&self.0) {
            expectations.push(expectation);
        }
    }

    /// They were checked.
    pub(super) fn checked(&self) {
        waiting().remove(&self.0);
    }
}

/// What was expected in this process and never checked, if there is any.
pub(crate) fn unchecked() -> Option<String> {
    let waiting = waiting();
    let left = waiting.values().filter(|(_, expectations)| !expectations.is_empty());
    let lines: Vec<_> = left
        .map(|(location, expectations)| {
            let count = expectations.len();
            let what = if count == 1 { "expectation" } else { "expectations" };
            format!("{count} {what} of {location}: {}", expectations.join("; "))
        })
        .collect();
    let remedy = "expectations were never checked, and prove nothing; end them with `.check().await?`";
    (!lines.is_empty()).then(|| format!("{remedy}\n  {}", lines.join("\n  ")))
}

fn waiting() -> MutexGuard<'static, BTreeMap<u64, Waiting>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
