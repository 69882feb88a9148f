//! Text for a terminal: colours where they are wanted, lines that fit.

use std::io::{self, IsTerminal, Write};

use unicode_width::UnicodeWidthStr;

/// How wide lines become at most, if their words allow it.
pub(crate) const WIDTH: usize = 80;

/// A colour, by its number in an escape sequence (ECMA-48, SGR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Good = 32,
    Bad = 31,
    Dim = 2,
    Bold = 1,
}

/// Standard output, with colours if it is a terminal and nobody is against it (<https://no-color.org>).
#[derive(Debug)]
pub(crate) struct Screen {
    colours: bool,
    out: io::StdoutLock<'static>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        #[expect(clippy::disallowed_methods, reason = "these are terminals' settings, not netlab's")]
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        Self { colours: stdout.is_terminal() && !plain, out: stdout.lock() }
    }

    /// The text in this style.
    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        if self.colours { format!("\x1b[{}m{text}\x1b[0m", style as u8) } else { text.to_owned() }
    }

    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{}", line.trim_end())
    }
}

/// Breaks text into lines of at most `width` columns, between words; a word that is longer has a line of its own. What
/// stands between backticks, a command, is never broken.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if open => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// The text, and spaces up to `width` columns.
pub(crate) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_never_within_a_command() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(
            wrap("give one: `sudo usermod x` (or not)", 14),
            ["give one:", "`sudo usermod x`", "(or not)"]
        );
        assert_eq!(wrap("", 8), Vec::<String>::new());
    }

    #[test]
    fn padding_counts_columns() {
        assert_eq!(padded("µs", 4), "µs  ");
        assert_eq!(padded("long", 2), "long");
    }
}
