//! Expectations of who reaches whom, checked by packets that are sent.
//!
//! ```text
//! Expectations --rows--> Vec<Row> --stand (listeners), probe--> Seen a row --table--> Unmet
//! ```
//!
//! Invariant: what is not reached is only believed beside something that is, in the same check.

mod builder;
mod check;
mod expected;
mod probe;
mod reachability;
mod rows;
mod seen;
mod service;
mod stand;
pub(super) mod table;
mod ticket;
mod unmet;

pub use builder::{Expectations, NeedsPositiveControl};
pub use reachability::Reachability;
pub use seen::{Miss, MissKind};
pub use service::Service;
pub(crate) use ticket::unchecked;
pub use unmet::Unmet;
