//! Collecting errors while going on.

use std::sync::Arc;

use super::{Diagnostic, Diagnostics, Source, Span};

/// The errors found so far.
#[derive(Debug)]
pub(crate) struct Report {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
}

impl Report {
    pub fn new(source: Arc<Source>) -> Self {
        Self { source, list: Vec::new() }
    }

    /// For what is checked again where its errors are known: errors go nowhere.
    pub fn quiet(&self) -> Self {
        Self::new(Arc::clone(&self.source))
    }

    /// Adds an error; the answer takes its help.
    pub fn error(
        &mut self,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        let at = self.list.len();
        self.list.push(Diagnostic::new(Arc::clone(&self.source), span, message.into(), label.into()));
        &mut self.list[at]
    }

    /// How many errors there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds help to all errors after the first `len`.
    pub fn help_since(&mut self, len: usize, help: impl Fn() -> String) {
        for diagnostic in self.list.iter_mut().skip(len) {
            diagnostic.help(help());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The line that an offset is on, from 1.
    pub fn line(&self, span: Span) -> usize {
        self.source.position(span.start).0
    }

    /// All errors in the order of the text, if there are any.
    pub fn stop(&mut self) -> Result<(), Diagnostics> {
        if self.list.is_empty() {
            return Ok(());
        }
        let mut list = std::mem::take(&mut self.list);
        list.sort_by_key(|diagnostic| (diagnostic.span().start, diagnostic.span().end));
        Err(Diagnostics::new(list))
    }
}
