//! Errors that point into the text of a topology.

mod list;
mod nearest;
mod report;
mod source;

pub use list::{Diagnostic, Diagnostics};
pub use nearest::suggestion;
pub(crate) use nearest::{enumerate, nearest};
pub(crate) use report::Report;
pub(crate) use source::Source;
pub use source::{Span, Spanned};
