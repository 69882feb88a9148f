//! The attribute under netlab's own runner.

#[path = "attribute/forms.rs"]
mod forms;

netlab::main!();
