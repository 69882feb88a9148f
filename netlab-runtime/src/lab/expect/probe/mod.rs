//! One packet, or one exchange of them, from a node, and what came of it.

mod errors;
mod icmp;
mod loss;
mod mtu;
mod socket;
mod tcp;
mod udp;

pub(super) use icmp::echo;
pub(super) use loss::loss;
pub(super) use mtu::mtu;
pub(super) use tcp::tcp;
pub(super) use udp::udp;
