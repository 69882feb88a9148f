//! netlab's topology language.
//!
//! ```text
//! text --parse--> Topology --plan--> Plan { steps }
//! ```
//!
//! Invariant: this crate does no I/O and knows no kernel; all of it takes values and gives values.

#![forbid(unsafe_code)]

mod builder;
mod check;
mod diagnostic;
pub mod model;
mod name;
pub mod plan;
mod render;
mod syntax;
mod topology;

pub use builder::{AttachmentBuilder, Builder, LinkBuilder, NetBuilder, NodeBuilder};
pub use diagnostic::{Diagnostic, Diagnostics, Span, Spanned, suggestion};
pub use name::{IF_NAME_MAX, IfName, IfNameError, MacAddr, MacAddrError};
pub use plan::Plan;
pub use render::DRAWING_WIDTH;
pub use topology::Topology;
