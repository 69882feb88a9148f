//! By how much a number of the kernel's changed, and by how much it was to.

use std::fmt;
use std::ops::{RangeFrom, RangeInclusive, RangeToInclusive};

/// By how much something is to change: a number, or a range such as `1..`, `..=3` or `2..=4`.
///
/// Counters only grow, so that `..=3` is 0 to 3 of them; of entries there may be fewer than before: `-1`, `..=0`, `-2..=-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T = u64> {
    low: Option<T>,
    high: Option<T>,
}

/// One number before and after, and how it is to have changed.
#[derive(Clone, Debug)]
pub(super) struct Change {
    what: String,
    /// Before and after; or why there is no such number.
    counted: Result<(u64, u64), String>,
    expected: Bounds<i128>,
}

impl Change {
    /// Of a counter, which never falls.
    pub(super) fn of_a_counter(what: String, counted: Result<(u64, u64), String>, by: Bounds) -> Self {
        let expected = Bounds { low: Some(by.low.unwrap_or(0).into()), high: by.high.map(i128::from) };
        Self { what, counted, expected }
    }

    /// Of how many there are of something.
    pub(super) fn of_a_number(what: String, counted: Result<(u64, u64), String>, by: Bounds<i64>) -> Self {
        let expected = Bounds { low: by.low.map(i128::from), high: by.high.map(i128::from) };
        Self { what, counted, expected }
    }

    pub(super) fn holds(&self) -> bool {
        self.change().is_some_and(|change| self.expected.contain(change))
    }

    /// Why there is no such number.
    pub(super) fn problem(&self) -> Option<&str> {
        self.counted.as_ref().err().map(String::as_str)
    }

    fn change(&self) -> Option<i128> {
        let (before, after) = self.counted.as_ref().ok()?;
        Some(i128::from(*after) - i128::from(*before))
    }

    /// The columns of a table of such changes; `missing` is what to say in the last where there is no such number.
    pub(super) fn cells(&self, missing: &str) -> Vec<String> {
        let mark = if self.holds() { '✓' } else { '✗' };
        let (before, after) = match self.counted {
            Ok((before, after)) => (before.to_string(), after.to_string()),
            Err(_) => (String::new(), String::new()),
        };
        let change = self.change().map_or_else(|| missing.to_owned(), |change| format!("{change:+}"));
        vec![self.what.clone(), before, after, self.expected.to_string(), format!("{mark} {change}")]
    }

    /// What is above the columns; `what` the first has.
    pub(super) fn header(what: &str) -> Vec<String> {
        [what, "before", "after", "expected", "change"].map(str::to_owned).to_vec()
    }
}

impl Bounds<i128> {
    fn contain(self, change: i128) -> bool {
        self.low.is_none_or(|low| change >= low) && self.high.is_none_or(|high| change <= high)
    }
}

impl<T: Copy> From<T> for Bounds<T> {
    fn from(exactly: T) -> Self {
        Self { low: Some(exactly), high: Some(exactly) }
    }
}

impl<T> From<RangeFrom<T>> for Bounds<T> {
    fn from(range: RangeFrom<T>) -> Self {
        Self { low: Some(range.start), high: None }
    }
}

impl<T> From<RangeInclusive<T>> for Bounds<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        let (low, high) = range.into_inner();
        Self { low: Some(low), high: Some(high) }
    }
}

impl<T> From<RangeToInclusive<T>> for Bounds<T> {
    fn from(range: RangeToInclusive<T>) -> Self {
        Self { low: None, high: Some(range.end) }
    }
}

impl<T: fmt::Display + PartialEq> fmt::Display for Bounds<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.low, &self.high) {
            (Some(low), Some(high)) if low == high => write!(f, "{low:+}"),
            (Some(low), Some(high)) => write!(f, "{low:+} to {high:+}"),
            (Some(low), None) => write!(f, "{low:+} or more"),
            (None, Some(high)) => write!(f, "{high:+} or less"),
            (None, None) => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_have_both_ends_in_them() {
        let of_counters = |by: Bounds, before, after| {
            let change = Change::of_a_counter("x".to_owned(), Ok((before, after)), by);
            (change.expected.to_string(), change.holds())
        };
        assert_eq!(of_counters(2.into(), 1, 3), ("+2".to_owned(), true));
        assert_eq!(of_counters((1..).into(), 1, 1), ("+1 or more".to_owned(), false));
        assert_eq!(of_counters((..=3).into(), 1, 4), ("+0 to +3".to_owned(), true));
        assert_eq!(of_counters((..=3).into(), 1, 5), ("+0 to +3".to_owned(), false));
        // The interface was made anew, say.
        assert_eq!(of_counters((..=3).into(), 1, 0), ("+0 to +3".to_owned(), false));
        assert_eq!(of_counters(u64::MAX.into(), 0, u64::MAX), (format!("+{}", u64::MAX), true));

        let of_entries = |by: Bounds<i64>, before, after| {
            let change = Change::of_a_number("x".to_owned(), Ok((before, after)), by);
            (change.expected.to_string(), change.holds())
        };
        assert_eq!(of_entries((-1).into(), 3, 2), ("-1".to_owned(), true));
        assert_eq!(of_entries((-2..=-1).into(), 3, 3), ("-2 to -1".to_owned(), false));
        assert_eq!(of_entries((..=0).into(), 3, 0), ("+0 or less".to_owned(), true));
        assert_eq!(of_entries((..=0).into(), 3, 4), ("+0 or less".to_owned(), false));
        let missing = Change::of_a_number("x".to_owned(), Err("why".to_owned()), (..=0).into());
        assert!(!missing.holds());
        assert_eq!(missing.cells("none").last().map(String::as_str), Some("✗ none"));
    }
}
