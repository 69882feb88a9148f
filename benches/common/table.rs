//! The result as a Markdown table: medians, and their ratio to the row that each group begins with.

use std::fmt;
use std::time::Duration;

/// Times by row, in the order in which rows were first noted.
#[derive(Default)]
pub struct Table {
    rows: Vec<(String, Vec<Duration>)>,
}

impl Table {
    /// Notes one time of a row. A row is named `group, what`.
    pub fn note(&mut self, row: &str, took: Duration) {
        match self.rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, times)) => times.push(took),
            None => self.rows.push((row.to_owned(), vec![took])),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | n | median | 99th percentile | to the first of its group |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        let mut first = ("", Duration::ZERO);
        for (name, times) in &self.rows {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100];
            let group = name.split(',').next().unwrap_or(name);
            if group != first.0 {
                first = (group, at(50));
            }
            let ratio = at(50).as_secs_f64() / first.1.as_secs_f64();
            writeln!(f, "| {name} | {} | {:.2?} | {:.2?} | {ratio:.2} |", times.len(), at(50), at(99))?;
        }
        Ok(())
    }
}
