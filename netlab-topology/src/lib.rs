//! netlab's topology language.
//!
//! ```text
//! text --parse--> Topology --plan--> Plan { steps }
//! ```
//!
//! Invariant: this crate does no I/O and knows no kernel; all of it takes values and gives values.

#![forbid(unsafe_code)]

mod name;
pub mod plan;
mod topology;

pub use name::{IF_NAME_MAX, IfName, IfNameError, MacAddr, MacAddrError};
pub use plan::Plan;
pub use topology::{Diagnostics, Topology};
