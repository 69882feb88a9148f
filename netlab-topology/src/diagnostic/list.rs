//! What is wrong with a topology, and how it is shown.

use std::fmt;
use std::sync::Arc;

use unicode_width::UnicodeWidthChar;

use super::{Source, Span};

/// One thing that is wrong, and where.
///
/// Its `Display` is the whole message, with the line of the topology and a caret under what is wrong.
#[derive(Clone)]
pub struct Diagnostic {
    source: Arc<Source>,
    span: Span,
    message: String,
    label: String,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(source: Arc<Source>, span: Span, message: String, label: String) -> Self {
        Self { source, span, message, label, help: None }
    }

    /// Adds what to do about it.
    pub(crate) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where, in bytes of the text.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What stands beside the caret; may be empty.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What to do about it.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The line it starts on, from 1.
    pub fn line(&self) -> usize {
        self.source.position(self.span.start).0
    }

    /// The column it starts in, from 1, in characters.
    pub fn column(&self) -> usize {
        self.source.position(self.span.start).1
    }
}

/// What a terminal makes of a character: its text and how many columns that takes.
fn shown(c: char) -> (char, usize) {
    match c {
        '\t' => (' ', 1),
        _ => match c.width() {
            Some(width) => (c, width),
            // Control characters would move the cursor.
            None => (char::REPLACEMENT_CHARACTER, 1),
        },
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, column) = self.source.position(self.span.start);
        let line = self.source.line(self.span.start);
        let text = &self.source.text[line.clone()];
        let indent = text.len() - text.trim_start().len();
        let start = (self.span.start - line.start).max(indent.min(text.len()));
        let end = self.span.end.min(line.end).saturating_sub(line.start).max(start);
        let width = |part: &str| part.chars().map(|c| shown(c).1).sum::<usize>();

        writeln!(f, "error: {}", self.message)?;
        writeln!(f, "  --> {}, line {number}, column {column}", self.source.origin)?;
        f.write_str("   |  ")?;
        for c in text[indent..].trim_end().chars() {
            fmt::Write::write_char(f, shown(c).0)?;
        }
        let carets = "^".repeat(width(&text[start..end]).max(1));
        write!(f, "\n   |  {}{carets}", " ".repeat(width(&text[indent.min(start)..start])))?;
        if !self.label.is_empty() {
            write!(f, " {}", self.label)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostic")
            .field("message", &self.message)
            .field("span", &self.span)
            .field("label", &self.label)
            .field("help", &self.help)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Diagnostic {}

/// Everything that is wrong with a topology, in the order of its text; never empty.
///
/// Its `Display` is that of all of them, with an empty line between.
#[derive(Clone)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(super) fn new(list: Vec<Diagnostic>) -> Self {
        Self(list)
    }

    /// One after another.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Diagnostics {
    /// As `Display`: `unwrap` on a topology should be readable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Diagnostics {}
