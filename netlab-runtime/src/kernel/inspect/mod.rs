//! Reads back what the kernel has, as typed values: never from the plan.
//!
//! Every type's `Display` is the line that `ip`, `bridge` or `nft` shows, shortened to what a lab has.

mod conntrack;
mod counters;
mod expression;
mod interfaces;
mod legacy;
mod neighbours;
mod routes;
mod rules;
mod sockets;

pub use conntrack::{Direction, Flow, FlowProtocol};
pub use counters::{InterfaceCounters, QdiscCounters, RuleCounters};
pub use interfaces::{Interface, OperState};
pub use ipnet::IpNet;
pub use neighbours::{FdbEntry, Neighbour, NeighbourState};
pub use routes::Route;
pub use sockets::{Protocol, Socket, SocketState};

pub(crate) use conntrack::{flows, tracked};
pub(crate) use counters::{interface_counters, qdisc_counters, rule_counters};
pub(crate) use interfaces::interfaces;
pub(crate) use legacy::legacy_tables;
pub(crate) use neighbours::{fdb, neighbours};
pub(crate) use routes::routes;
pub(crate) use rules::ruleset;
pub(crate) use sockets::sockets;

use std::collections::HashMap;

/// Interface names by index, for tables that only have the index.
pub(crate) type Names = HashMap<u32, String>;

/// The name of an interface, or, if it is gone since, its index as `ip` shows it.
fn name_of(names: &Names, index: u32) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
}
