//! netlab's topology language.
//!
//! ```text
//! text --parse--> Topology --plan--> Plan { steps }
//! ```
//!
//! Invariant: this crate does no I/O and knows no kernel; all of it takes values and gives values.

#![forbid(unsafe_code)]

mod check;
mod diagnostic;
pub mod model;
mod name;
pub mod plan;
mod syntax;
mod topology;

pub use diagnostic::{Diagnostic, Diagnostics, Span, Spanned};
pub use name::{IF_NAME_MAX, IfName, IfNameError, MacAddr, MacAddrError};
pub use plan::Plan;
pub use topology::Topology;
