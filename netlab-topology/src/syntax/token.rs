//! Text to tokens.

use std::borrow::Cow;

use crate::diagnostic::{Report, Span};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything without white space and punctuation: a name, a number, an address.
    Word,
    /// A text in quotes, never taken for a word of the language.
    Quoted,
    Equals,
    Comma,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Arrow,
    /// A statement's end: a line's end, a semicolon, the text's end.
    End,
}

/// A piece of the text.
#[derive(Clone, Debug)]
pub(crate) struct Token<'s> {
    pub kind: Kind,
    pub text: Cow<'s, str>,
    pub span: Span,
}

/// Characters that never belong to a word.
pub(super) fn is_special(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | ',' | '(' | ')' | '[' | ']' | ';' | '#' | '\'' | '"')
}

/// The tokens of a text, the last of which is an end.
pub(super) fn tokens<'s>(text: &'s str, report: &mut Report) -> Vec<Token<'s>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match c {
            '\n' | ';' => (Kind::End, 1),
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '=' => (Kind::Equals, 1),
            ',' => (Kind::Comma, 1),
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            '[' => (Kind::OpenBracket, 1),
            ']' => (Kind::CloseBracket, 1),
            '-' if rest.starts_with("->") => (Kind::Arrow, 2),
            '\'' | '"' => {
                let (value, length) = quoted(rest, c);
                let span = Span::new(at, at + length);
                // One error is enough: a text that does not end stands for what it would have been.
                let text = value.unwrap_or_else(|| {
                    report.error(
                        span,
                        "this quote is not closed",
                        format!("expected {c} before the line ends"),
                    );
                    rest[1..length].to_owned()
                });
                tokens.push(Token { kind: Kind::Quoted, text: Cow::Owned(text), span });
                at += length;
                continue;
            }
            _ => {
                let word = &rest[..rest.find(is_special).unwrap_or(rest.len())];
                (Kind::Word, word.find("->").unwrap_or(word.len()))
            }
        };
        let span = Span::new(at, at + length);
        tokens.push(Token { kind, text: Cow::Borrowed(&text[span.range()]), span });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, text: Cow::Borrowed(""), span: Span::new(at, at) });
    tokens
}

/// The value of a quoted text that `rest` begins with, and its length in bytes with the quotes. `\` takes the
/// next character as it is, but `\n` and `\r` are line ends. Without a value when it does not end on its line.
fn quoted(rest: &str, quote: char) -> (Option<String>, usize) {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return (None, at),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((at, '\n')) => return (None, at),
                Some((_, c)) => value.push(c),
                None => break,
            },
            c if c == quote => return (Some(value), at + 1),
            c => value.push(c),
        }
    }
    (None, rest.len())
}
