//! Tables that explain a verdict: columns aligned, what is wrong marked.

use std::fmt;

/// Rows under a heading. Columns of what looks like numbers stand to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Row>,
    /// How many of the rows are shown; all, unless said.
    shown: Option<usize>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    cells: Vec<String>,
    /// What is wrong with it.
    wrong: Option<String>,
}

impl Table {
    /// A table with a sentence above it and the names of its columns.
    pub fn new<const N: usize>(title: impl Into<String>, head: [&str; N]) -> Self {
        Self {
            title: title.into(),
            head: head.map(str::to_owned).to_vec(),
            rows: Vec::new(),
            shown: None,
            notes: Vec::new(),
        }
    }

    /// Shows the first so many rows, and how many more there are: where there may be one for each request.
    pub fn showing(self, rows: usize) -> Self {
        Self { shown: Some(rows), ..self }
    }

    /// Adds columns behind those there are.
    pub fn columns(&mut self, names: impl IntoIterator<Item = String>) {
        self.head.extend(names);
    }

    /// Adds a row; `wrong` says what is wrong with it, if something is.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>, wrong: Option<String>) {
        self.rows.push(Row { cells: cells.into_iter().collect(), wrong });
    }

    /// Adds a line below.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether any row is wrong.
    pub fn is_wrong(&self) -> bool {
        self.rows.iter().any(|row| row.wrong.is_some())
    }
}

fn is_number(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        if self.rows.is_empty() && self.notes.is_empty() {
            return Ok(());
        }
        let cells_of = |column: usize| self.rows.iter().filter_map(move |row| row.cells.get(column));
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                cells_of(column)
                    .map(|cell| cell.chars().count())
                    .chain([self.head[column].chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let to_the_right: Vec<bool> = (0..self.head.len())
            .map(|column| cells_of(column).all(|cell| cell.is_empty() || is_number(cell)))
            .collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String], wrong: Option<&str>| {
            let mut text = String::new();
            for ((cell, &width), &right) in cells.iter().zip(&widths).zip(&to_the_right) {
                text += &if right { format!("  {cell:>width$}") } else { format!("  {cell:<width$}") };
            }
            if let Some(wrong) = wrong {
                text += &format!("  <- {wrong}");
            }
            write!(f, "\n{}", text.trim_end())
        };
        if !self.rows.is_empty() {
            line(f, &self.head, None)?;
        }
        let shown = self.shown.unwrap_or(self.rows.len());
        for row in self.rows.iter().take(shown) {
            line(f, &row.cells, row.wrong.as_deref())?;
        }
        if self.rows.len() > shown {
            write!(f, "\n  and {} more like these", self.rows.len() - shown)?;
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_what_is_wrong_is_marked() {
        let mut table = Table::new("of 30 requests", ["backend", "seen"]);
        table.row(["web1".to_owned(), "30".to_owned()], Some("too many".to_owned()));
        table.row(["a-long-name".to_owned(), "0".to_owned()], None);
        assert!(table.is_wrong());
        let short = table.clone().showing(1).to_string();
        assert!(short.ends_with("  <- too many\n  and 1 more like these"), "{short}");
        assert_eq!(
            table.to_string(),
            "of 30 requests\n  backend      seen\n  web1           30  <- too many\n  a-long-name     0"
        );
    }
}
