//! A grid of characters.

/// Grows as it is drawn on.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    rows: Vec<Vec<char>>,
}

impl Canvas {
    pub fn put(&mut self, x: usize, y: usize, c: char) {
        if self.rows.len() <= y {
            self.rows.resize(y + 1, Vec::new());
        }
        let row = &mut self.rows[y];
        if row.len() <= x {
            row.resize(x + 1, ' ');
        }
        row[x] = c;
    }

    pub fn text(&mut self, x: usize, y: usize, text: &str) {
        for (i, c) in text.chars().enumerate() {
            self.put(x + i, y, c);
        }
    }

    /// A box with lines of text in its middle.
    pub fn boxed(&mut self, x: usize, y: usize, width: usize, lines: &[String]) {
        let bottom = y + lines.len() + 1;
        for at in x + 1..x + width - 1 {
            self.put(at, y, '─');
            self.put(at, bottom, '─');
        }
        for (row, left, right) in [(y, '┌', '┐'), (bottom, '└', '┘')] {
            self.put(x, row, left);
            self.put(x + width - 1, row, right);
        }
        for (i, line) in lines.iter().enumerate() {
            let row = y + 1 + i;
            self.put(x, row, '│');
            self.put(x + width - 1, row, '│');
            let space = (width - 2).saturating_sub(line.chars().count());
            self.text(x + 1 + space / 2, row, line);
        }
    }

    /// The text, without white space at the end of lines.
    pub fn into_text(self) -> String {
        let mut text = String::new();
        for row in self.rows {
            let row: String = row.into_iter().collect();
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}
