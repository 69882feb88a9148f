//! The kernel layer: carries out the steps of a plan, and reads back what there is.
//!
//! ```text
//! &[Step] --apply--> messages --Kernel--> Linux (netlink, files under /proc/sys)
//!                                   \---> the tests' fake, which records and refuses
//! ```
//!
//! Invariant: everything that changes the system while a lab is built goes through the trait `Kernel` of `calls`; what handles change later
//! is `live`'s, and sysctls.
//! Invariant: no program is executed, nothing sleeps.

mod apply;
mod calls;
mod error;
mod hint;
pub mod inspect;
mod linux;
mod live;
mod nft;
mod ready;
mod route;
mod socket;
mod sysctl;
mod watch;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub(crate) use apply::apply;
pub use error::BuildError;
pub(crate) use error::write_lower;
pub(crate) use linux::{Linux, OnTheMachine, Space};
pub(crate) use live::{Arp, add_address, forget_flows, forget_neighbours};
pub(crate) use nft::transaction;
pub(crate) use socket::{NetlinkSocket, Refused};
pub(crate) use sysctl::Sysctls;
