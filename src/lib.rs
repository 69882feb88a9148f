//! netlab: a test harness that gives every test its own network.

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod __private;
mod main_macro;
pub mod prelude;

pub use netlab_macros::test;
pub use netlab_runtime::error::{Error, Result};
pub use netlab_runtime::lab::{Lab, Link, Net, Node};
pub use netlab_topology::{Diagnostics, Plan, Topology};
