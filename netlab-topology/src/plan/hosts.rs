//! What `/etc/hosts` of every node says, so that nodes find each other by name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::{Family, Plan};

/// One line of `/etc/hosts`. Its `Display` is that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The address.
    pub addr: IpAddr,
    /// Its names, the canonical one first; never empty.
    pub names: Vec<String>,
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.addr, self.names.join(" "))
    }
}

impl Plan {
    /// The names of all nodes: a node's own name is that of its first address in each family, and every address of
    /// an interface is named `NODE.NET` (or `NODE.LINK`).
    ///
    /// The addresses on `lo` come last, so they give the node's name only where it has no other; an address that
    /// several nodes have (anycast) names none of them.
    pub fn hosts(&self) -> Vec<HostEntry> {
        let mut entries = Vec::new();
        let mut lo = BTreeSet::new();
        let mut shared = BTreeSet::new();
        for addr in self.nodes.iter().flat_map(|node| &node.loopback) {
            if !lo.insert(addr.addr()) {
                shared.insert(addr.addr());
            }
        }
        for node in &self.nodes {
            let mut named = BTreeSet::new();
            for interface in &node.interfaces {
                for addr in &interface.addrs {
                    let addr = addr.addr();
                    let mut names = vec![format!("{}.{}", node.name, self.wire_name(interface.wire))];
                    if named.insert(Family::of(addr)) {
                        names.insert(0, node.name.clone());
                    }
                    entries.push(HostEntry { addr, names });
                }
            }
            for addr in node.loopback.iter().map(ipnet::IpNet::addr) {
                if !shared.contains(&addr) && named.insert(Family::of(addr)) {
                    entries.push(HostEntry { addr, names: vec![node.name.clone()] });
                }
            }
        }
        entries
    }
}
