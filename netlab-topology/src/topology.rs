//! A topology as a value: read from text, checked, printed.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::{Report, Source};
use crate::model::Statement;
use crate::plan::Plan;
use crate::{check, syntax};

use crate::diagnostic::Diagnostics;

/// A topology as written: it mirrors the text, and only its grammar has been checked.
///
/// Its `Display` is text again, in canonical form: `Topology::parse(&t.to_string(), "x") == Ok(t)` for every `t`.
/// Equality ignores layout, comments and the order of attributes that mean different things.
///
#[doc = include_str!("../LANGUAGE.md")]
#[derive(Clone, Default)]
pub struct Topology {
    source: Arc<Source>,
    statements: Vec<Statement>,
}

impl Topology {
    /// Parses text. `origin` is how errors name it, as in "topology of `balances`" or a file's name.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with its grammar, and with that also what is wrong with its meaning, as far as the
    /// grammar lets that be known.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Diagnostics> {
        let source = Arc::new(Source { origin: origin.to_owned(), text: text.to_owned() });
        let mut report = Report::new(Arc::clone(&source));
        let parse = syntax::parse(&source.text, &mut report);
        if !report.is_empty() {
            check::in_spite_of_errors(&parse, &mut report);
        }
        report.stop()?;
        Ok(Self { source, statements: parse.statements })
    }

    /// Checks and resolves it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with what it means.
    pub fn plan(&self) -> Result<Plan, Diagnostics> {
        check::plan(self)
    }

    /// Its statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// How errors call it.
    pub fn origin(&self) -> &str {
        &self.source.origin
    }

    pub(crate) fn report(&self) -> Report {
        Report::new(Arc::clone(&self.source))
    }
}

impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        self.statements == other.statements
    }
}

impl Eq for Topology {}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        syntax::print(&self.statements, f)
    }
}

impl fmt::Debug for Topology {
    /// Its text: far easier to read than its statements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topology {:?} {{\n{self}\n}}", self.source.origin)
    }
}
