//! Expectations that do not hold.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::rows::Row;
use super::seen::Seen;
use super::table;

/// Expectations that do not hold. Its `Display` is a table of all of them, expected beside seen.
pub struct Unmet {
    lab: String,
    rows: Vec<[String; 5]>,
    wrong: usize,
    after: Duration,
}

impl Unmet {
    pub(super) fn new(lab: &str, rows: &[Row], seen: &[Seen], after: Duration) -> Self {
        let wrong = rows.iter().zip(seen).filter(|(row, seen)| !row.expected.holds(seen)).count();
        let rows = rows.iter().zip(seen).map(|(row, seen)| {
            let mark = if row.expected.holds(seen) { '✓' } else { '✗' };
            let [from, to, at, expected] = row.cells();
            [from, to, at, expected, format!("{mark} {seen}")]
        });
        Self { lab: lab.to_owned(), rows: rows.collect(), wrong, after }
    }

    /// How many do not hold.
    pub fn wrong(&self) -> usize {
        self.wrong
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lab, rows, wrong, after } = self;
        if rows.is_empty() {
            return write!(
                f,
                "lab `{lab}`: nothing was expected: a check without expectations proves nothing"
            );
        }
        let (all, hold) = (rows.len(), if *wrong == 1 { "does not hold" } else { "do not hold" });
        write!(f, "lab `{lab}`: {wrong} of {all} expectations {hold} after {after:?}")?;
        let header = ["from", "to", "at", "expected", "seen"].map(str::to_owned).to_vec();
        let rows = rows.iter().map(|row| row.to_vec());
        table::write(f, &[header].into_iter().chain(rows).collect::<Vec<_>>())
    }
}

/// The table: this is what a failed `unwrap` shows.
impl fmt::Debug for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Unmet {}
