//! What goes wrong with a handle.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::kernel::write_lower;

/// A question to a lab, or an act in it, that failed. Its source, if any, is what the system said.
pub struct LabError {
    message: String,
    source: Option<Source>,
}

/// An [`io::Error`] worded as all messages are.
pub(super) struct Source(pub(super) io::Error);

impl LabError {
    pub(crate) fn msg(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    pub(crate) fn io(message: impl Into<String>, error: io::Error) -> Self {
        Self { message: message.into(), source: Some(Source(error)) }
    }

    /// What the system said.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.source.as_ref().map(|Source(error)| error)
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) if f.alternate() => write!(f, ": {source}"),
            _ => Ok(()),
        }
    }
}

/// With its cause: this is what a failed `unwrap` shows.
impl fmt::Debug for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for LabError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lower(f, &self.0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Source {}
