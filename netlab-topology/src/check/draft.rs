//! What is decided so far, while a topology is checked.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::Subnet;
use crate::diagnostic::{Span, enumerate};
use crate::model::{Attachment, LinkStatement, NetStatement, NodeStatement};
use crate::name::{IfName, MacAddr};
use crate::plan::{Dev, Family, Proto, Wire};

/// A topology on its way to being a plan.
#[derive(Debug, Default)]
pub(super) struct Draft<'t> {
    pub nets: Vec<Net<'t>>,
    pub links: Vec<Link<'t>>,
    /// The host first.
    pub nodes: Vec<Node<'t>>,
    pub arrays: Vec<Array<'t>>,
}

#[derive(Debug)]
pub(super) struct Net<'t> {
    pub statement: &'t NetStatement,
    pub subnets: Vec<Subnet>,
    /// Node and interface, in order of attachment.
    pub members: Vec<(usize, usize)>,
    /// How many nodes are on it, also when they are too many to go on with.
    pub joined: usize,
    /// Its subnets are wrong, so nothing can be said about addresses in them.
    pub broken: bool,
    pub bridge: Option<Bridge>,
}

/// A net's bridge and its ports, one for each member except the host.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub dev: Dev,
    pub mac: MacAddr,
    pub mtu: u32,
    pub ports: Vec<BridgePort>,
}

#[derive(Clone, Debug)]
pub(super) struct BridgePort {
    pub dev: Dev,
    pub mac: MacAddr,
    pub node: usize,
    pub interface: usize,
}

#[derive(Debug)]
pub(super) struct Link<'t> {
    pub statement: &'t LinkStatement,
    pub name: String,
    pub subnets: Vec<Subnet>,
    /// Node and interface.
    pub ends: [(usize, usize); 2],
    pub broken: bool,
}

#[derive(Debug)]
pub(super) struct Node<'t> {
    pub name: String,
    /// None for the host when it is not mentioned.
    pub statement: Option<&'t NodeStatement>,
    /// Which member of an array, from 0.
    pub member: u32,
    pub forwards: bool,
    pub interfaces: Vec<Interface<'t>>,
    /// Something it refers to is unknown, so what it can reach is unknown too.
    pub broken: bool,
    /// Its name is taken, so it is not on any net.
    pub duplicate: bool,
    /// The wires it masquerades out of.
    pub hidden_behind: Vec<Wire>,
    pub routes: Vec<RouteDraft>,
    pub rules: Vec<Rule>,
    pub sysctls: Sysctls,
}

/// A route of a node by one of its interfaces.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteDraft {
    pub destination: IpNet,
    pub via: Option<IpAddr>,
    pub interface: usize,
}

/// A rule of a node's firewall; interfaces are the node's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    Masquerade { out: usize, source: Option<IpNet> },
    Dnat { from: Option<usize>, proto: Proto, port: u16, addr: IpAddr, to_port: u16 },
}

/// What the user sets, by when it can be set.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    pub early: Vec<(String, String)>,
    /// Those of interfaces, which have to exist.
    pub late: Vec<(String, String)>,
}

impl Node<'_> {
    /// Whether an error of its statement is to be reported for it: once for an array.
    pub fn speaks(&self) -> bool {
        self.member == 0
    }

    /// Its first address of a family on a wire.
    pub fn addr_on(&self, wire: Wire, family: Family) -> Option<IpNet> {
        self.interfaces.iter().filter(|i| i.wire == wire).find_map(|i| i.addr(family))
    }

    /// Its first address of a family.
    pub fn addr(&self, family: Family) -> Option<IpNet> {
        let extra = self.statement.into_iter().flat_map(|s| &s.attributes.addrs).map(|addr| addr.value);
        let first = self.interfaces.iter().find_map(|i| i.addr(family));
        first.or_else(|| extra.into_iter().find(|addr| Family::of(addr.addr()) == family))
    }

    /// The index of its interface on a wire.
    pub fn index_on(&self, wire: Wire) -> Option<usize> {
        self.interfaces.iter().position(|i| i.wire == wire)
    }

    pub fn interface_on(&self, wire: Wire) -> Option<&Interface<'_>> {
        self.interfaces.iter().find(|i| i.wire == wire)
    }
}

#[derive(Debug)]
pub(super) struct Interface<'t> {
    pub wire: Wire,
    /// None for the end of a link.
    pub attachment: Option<&'t Attachment>,
    /// Where errors point: the attachment's net, or the node's name in the link.
    pub span: Span,
    pub addrs: Vec<IpNet>,
    pub dev: Option<Dev>,
    pub mac: MacAddr,
    pub mtu: u32,
    pub offload: bool,
}

impl Interface<'_> {
    /// Its first address of a family.
    pub fn addr(&self, family: Family) -> Option<IpNet> {
        self.addrs.iter().copied().find(|addr| Family::of(addr.addr()) == family)
    }

    /// Its name; every interface has one once devices are named.
    pub fn name(&self) -> Option<&IfName> {
        self.dev.as_ref().map(|dev| &dev.name)
    }
}

#[derive(Debug)]
pub(super) struct Array<'t> {
    pub name: &'t str,
    pub members: Vec<usize>,
}

impl Draft<'_> {
    pub fn wire_name(&self, wire: Wire) -> &str {
        match wire {
            Wire::Net(net) => &self.nets[net].statement.name.value,
            Wire::Link(link) => &self.links[link].name,
        }
    }

    pub fn subnets(&self, wire: Wire) -> &[Subnet] {
        match wire {
            Wire::Net(net) => &self.nets[net].subnets,
            Wire::Link(link) => &self.links[link].subnets,
        }
    }

    /// Node and interface of all that are on a wire.
    pub fn members(&self, wire: Wire) -> &[(usize, usize)] {
        match wire {
            Wire::Net(net) => &self.nets[net].members,
            Wire::Link(link) => &self.links[link].ends,
        }
    }

    /// All subnets, of nets and then of links.
    pub fn all_subnets(&self) -> impl Iterator<Item = Subnet> + '_ {
        let nets = self.nets.iter().flat_map(|net| &net.subnets);
        nets.chain(self.links.iter().flat_map(|link| &link.subnets)).copied()
    }

    /// The names of a node's wires, for errors.
    pub fn wires_of(&self, node: usize) -> String {
        let wires = self.nodes[node].interfaces.iter().map(|i| self.wire_name(i.wire));
        match wires.clone().count() {
            0 => format!("`{}` is on no net", self.nodes[node].name),
            _ => format!("nets of `{}`: {}", self.nodes[node].name, enumerate(wires)),
        }
    }

    /// Whether the host is on a net, and so has its bridge.
    pub fn host_is_on(&self, net: usize) -> bool {
        self.nodes[0].interfaces.iter().any(|i| i.wire == Wire::Net(net))
    }
}
