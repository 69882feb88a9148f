//! Waiting until something holds that no event tells of.
//!
//! Where the kernel tells (a readable socket, a netlink event, a process that ended), that is waited for instead.
//!
//! Invariant: `backoff` is the only place that lets time pass before it looks again.

mod attempt;
mod backoff;
mod eventually;
mod failure;
mod quiet;

pub use attempt::Attempt;
pub(crate) use backoff::Backoff;
pub use eventually::{eventually, eventually_blocking};
pub use failure::{Failure, NotInTime};
