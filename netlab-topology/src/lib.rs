//! netlab's topology language.
//!
//! ```text
//! text --parse--> Topology --plan--> Plan { steps }
//! ```
//!
//! The language is described at [`Topology`].
//!
//! ```
//! use netlab_topology::Topology;
//!
//! # fn main() -> Result<(), netlab_topology::Diagnostics> {
//! let topology = Topology::parse("
//!     net    lan     192.168.1.0/24
//!     net    wan     203.0.113.0/24
//!     router gw      lan=.1 wan nat(wan from=lan)
//!     node   web[2]  lan=.11          # web1 .11, web2 .12
//!     node   client  wan
//! ", "topology of `example`")?;
//! let plan = topology.plan()?;
//! for step in plan.steps() {
//!     println!("{}: {}", plan.place_name(step.place), step.op);   // gw: ip addr add 192.168.1.1/24 ...
//! }
//! print!("{}", plan.draw(100));
//! # Ok(()) }
//! ```
//!
//! Invariant: this crate does no I/O and knows no kernel; all of it takes values and gives values.

#![forbid(unsafe_code)]

mod builder;
mod check;
mod diagnostic;
mod duration;
pub mod model;
mod name;
pub mod plan;
mod render;
mod syntax;
mod topology;

pub use builder::{AttachmentBuilder, Builder, LinkBuilder, NetBuilder, NicBuilder, NodeBuilder};
pub use diagnostic::{Diagnostic, Diagnostics, Span, Spanned, suggestion};
pub use duration::parse_duration;
pub use name::{IF_NAME_MAX, IfName, IfNameError, MacAddr, MacAddrError};
pub use plan::Plan;
pub use render::DRAWING_WIDTH;
pub use topology::Topology;
