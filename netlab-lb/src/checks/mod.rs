//! Questions to a list of observations, and the verdicts that are their answers.
//!
//! Invariant: no I/O. Checks take values and give values, so each is tested with a balancer's faults written down.
//! Invariant: a check that had nothing to judge does not hold.

mod affinity;
mod binomial;
mod disruption;
mod drain;
mod failover;
mod hairpin;
mod health;
mod idle;
mod path_mtu;
mod return_path;
mod share;
mod source;
mod stale;
mod table;
mod verdict;

#[cfg(test)]
pub(crate) mod sample;

pub use affinity::Affinity;
pub use disruption::{Disruption, same_choice};
pub use drain::Drain;
pub use failover::Misses;
pub use hairpin::Hairpin;
pub use health::Health;
pub use idle::Idle;
pub use path_mtu::{PathMtu, Told};
pub use return_path::{ReturnPath, Sent, SentBy};
pub use share::Share;
pub use source::Sees;
pub use stale::Removal;
pub use table::Table;
pub use verdict::{Failed, Verdict};
