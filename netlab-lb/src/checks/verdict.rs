//! What a check comes to.

use std::fmt;

use super::table::Table;
use crate::timeline::Timeline;

/// A check's answer, with the table that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a verdict that nobody looks at proves nothing: call `.holds()?` or `.assert()`"]
pub struct Verdict {
    check: &'static str,
    table: Table,
    failed: bool,
    /// What happened when, for who wants to know why.
    chart: Option<String>,
}

impl Verdict {
    /// A verdict that fails if a row of its table is wrong.
    pub(crate) fn of(check: &'static str, table: Table) -> Self {
        let failed = table.is_wrong();
        Self { check, table, failed, chart: None }
    }

    /// A verdict that fails whatever its table says: there was nothing to judge.
    pub(crate) fn nothing_to_judge(check: &'static str, table: Table) -> Self {
        Self { check, table, failed: true, chart: None }
    }

    /// Draws what happened when, below the table, if the check does not hold.
    pub(crate) fn drawing(self, timeline: impl FnOnce() -> Timeline) -> Self {
        let chart = self.failed.then(|| timeline().to_string());
        Self { chart, ..self }
    }

    /// The name of the check.
    pub fn check(&self) -> &'static str {
        self.check
    }

    /// Whether the check holds.
    pub fn is_ok(&self) -> bool {
        !self.failed
    }

    /// The verdict as a result, for `?`.
    ///
    /// # Errors
    ///
    /// The check does not hold; the error's text is the explanation.
    pub fn holds(self) -> Result<(), Failed> {
        if self.failed { Err(Failed(Box::new(self))) } else { Ok(()) }
    }

    /// Panics with the explanation if the check does not hold, as `assert!` does.
    ///
    /// # Panics
    ///
    /// The check does not hold.
    #[track_caller]
    pub fn assert(self) {
        assert!(!self.failed, "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.failed { "does not hold" } else { "holds" };
        write!(f, "{} {word}: {}", self.check, self.table)?;
        match &self.chart {
            Some(chart) => write!(f, "\n\n{chart}"),
            None => Ok(()),
        }
    }
}

/// A check that does not hold. Its text, also with `Debug`, is the explanation: a test that returns it shows that.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(Box<Verdict>);

impl Failed {
    /// The verdict.
    pub fn verdict(&self) -> &Verdict {
        &self.0
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
