//! What a run ignored, and why: one line at its end, so that nobody takes a run that skipped things for a whole one.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::sandbox::Unavailable;

/// Tests that were ignored, counted by reason, in the order in which reasons came up.
#[derive(Debug, Default)]
pub(super) struct Ignored(Mutex<Vec<(String, usize)>>);

impl Ignored {
    /// Counts a test marked `#[ignore]`.
    pub(super) fn marked(&self) {
        self.count("marked `#[ignore]`".to_owned());
    }

    /// Counts a test that cannot run here.
    pub(super) fn unavailable(&self, why: &Unavailable) {
        self.count(format!("cannot run here ({why})"));
    }

    fn count(&self, reason: String) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, count)) => *count += 1,
            None => counts.push((reason, 1)),
        }
    }

    /// The line, if anything was ignored.
    pub(super) fn summary(&self) -> Option<Summary> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The most frequent reason first, and always in the same order, whichever test was first.
        counts.sort_by(|(reason, count), (other, others)| others.cmp(count).then_with(|| reason.cmp(other)));
        if counts.is_empty() { None } else { Some(Summary(counts)) }
    }
}

/// `netlab: 3 ignored: 2 cannot run here (...), 1 marked ...`
#[derive(Debug)]
pub(super) struct Summary(Vec<(String, usize)>);

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.0.iter().map(|(_, count)| count).sum();
        write!(f, "netlab: {total} ignored")?;
        for (index, (reason, count)) in self.0.iter().enumerate() {
            write!(f, "{} {count} {reason}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_each_once_the_most_frequent_first() {
        let ignored = Ignored::default();
        assert!(ignored.summary().is_none());
        let why = Unavailable::new("no luck", "`try --harder`");
        ignored.marked();
        ignored.unavailable(&why);
        ignored.unavailable(&why);
        assert_eq!(
            ignored.summary().unwrap().to_string(),
            "netlab: 3 ignored: 2 cannot run here (no luck; `try --harder`), 1 marked `#[ignore]`"
        );
    }
}
