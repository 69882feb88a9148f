//! What is decided so far, while a topology is checked.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::Subnet;
use crate::diagnostic::{Span, Spanned, enumerate};
use crate::model::{Attachment, LinkStatement, NetStatement, Nic, NodeStatement};
use crate::name::{IfName, MacAddr};
use crate::plan::{Dev, Family, NicUsage, Proto, Wire};

/// A topology on its way to being a plan.
#[derive(Debug, Default)]
pub(super) struct Draft<'t> {
    pub nets: Vec<Net<'t>>,
    pub links: Vec<Link<'t>>,
    /// The host first.
    pub nodes: Vec<Node<'t>>,
    pub arrays: Vec<Array<'t>>,
    /// The interfaces of the machine.
    pub nics: Vec<NicDraft<'t>>,
}

/// An interface of the machine that the lab uses.
#[derive(Debug)]
pub(super) struct NicDraft<'t> {
    pub name: &'t Spanned<String>,
    pub usage: NicUsage,
    pub force: bool,
    /// Of one that is moved: the node and its interface, and the subnets of its addresses.
    pub end: Option<(usize, usize)>,
    pub subnets: Vec<Subnet>,
}

impl NicDraft<'_> {
    /// As the machine has it.
    pub fn dev(&self) -> Option<Dev> {
        let name = IfName::new(&self.name.value).ok()?;
        Some(Dev { name, index: Dev::OF_THE_MACHINE })
    }
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

impl Net<'_> {
    /// Whether it is what an interface of the machine is on, without a bridge (`dev=`).
    pub fn is_shared(&self) -> bool {
        self.statement.uplink.dev.is_some() && self.statement.uplink.port.is_none()
    }

    /// Whether it is joined to a network of somebody's, in subnets that are theirs.
    pub fn is_somebodys(&self) -> bool {
        let uplink = &self.statement.uplink;
        (uplink.port.is_some() || uplink.dev.is_some()) && !self.statement.subnets.is_empty()
    }

    /// Whether its bridge gets what an interface of the machine had.
    pub fn takes_over(&self) -> bool {
        self.statement.uplink.port.is_some() && self.statement.uplink.takeover.is_some()
    }
}

/// What kind of device an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// One end of a veth pair.
    Veth,
    /// The bridge of a net that the host is on.
    Bridge,
    /// On an interface of the machine.
    Macvlan,
    /// An interface of the machine, where it was, as it was.
    OfTheMachine,
    /// An interface of the machine, moved into the node.
    Moved,
}

/// A net's bridge and its ports, one for each member except the host.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub dev: Dev,
    pub mac: MacAddr,
    pub mtu: u32,
    pub ports: Vec<BridgePort>,
    /// The interface of the machine that is a port as well, as it is called beside the bridge.
    pub plugged: Option<Dev>,
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

    /// Whether it is the machine's own network.
    pub fn is_real(&self) -> bool {
        self.name == "host" && self.statement.is_some_and(|s| s.attributes.real.is_some())
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
    /// For an interface of the machine that is moved in.
    pub nic: Option<&'t Nic>,
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
            Wire::Nic(nic) => &self.nics[nic].name.value,
        }
    }

    pub fn subnets(&self, wire: Wire) -> &[Subnet] {
        match wire {
            Wire::Net(net) => &self.nets[net].subnets,
            Wire::Link(link) => &self.links[link].subnets,
            Wire::Nic(nic) => &self.nics[nic].subnets,
        }
    }

    /// Node and interface of all that are on a wire.
    pub fn members(&self, wire: Wire) -> &[(usize, usize)] {
        match wire {
            Wire::Net(net) => &self.nets[net].members,
            Wire::Link(link) => &self.links[link].ends,
            Wire::Nic(nic) => self.nics[nic].end.as_slice(),
        }
    }

    /// All subnets, of nets, then of links, then of interfaces of the machine.
    pub fn all_subnets(&self) -> impl Iterator<Item = Subnet> + '_ {
        let nets = self.nets.iter().flat_map(|net| &net.subnets);
        let links = self.links.iter().flat_map(|link| &link.subnets);
        nets.chain(links).chain(self.nics.iter().flat_map(|nic| &nic.subnets)).copied()
    }

    /// The names of a node's wires, for errors.
    pub fn wires_of(&self, node: usize) -> String {
        let wires = self.nodes[node].interfaces.iter().map(|i| self.wire_name(i.wire));
        match wires.clone().count() {
            0 => format!("`{}` is on no net", self.nodes[node].name),
            _ => format!("nets of `{}`: {}", self.nodes[node].name, enumerate(wires)),
        }
    }

    /// Whether the host is the machine's own network.
    pub fn host_is_real(&self) -> bool {
        self.nodes[0].is_real()
    }

    /// What an interface of a node is made as.
    pub fn sort(&self, node: usize, wire: Wire) -> Sort {
        match wire {
            Wire::Nic(_) => Sort::Moved,
            Wire::Net(net) if self.nets[net].is_shared() => match node == 0 && self.host_is_real() {
                true => Sort::OfTheMachine,
                false => Sort::Macvlan,
            },
            Wire::Net(_) if node == 0 => Sort::Bridge,
            Wire::Net(_) | Wire::Link(_) => Sort::Veth,
        }
    }

    /// The MTU that is written for an interface, or for what it is on.
    pub fn given_mtu(&self, interface: &Interface<'_>) -> Option<u32> {
        let on_wire = match interface.wire {
            Wire::Net(net) => self.nets[net].statement.attributes.mtu,
            Wire::Link(link) => self.links[link].statement.attributes.mtu,
            Wire::Nic(_) => None,
        };
        let own = interface.attachment.and_then(|attachment| attachment.attributes.mtu);
        own.or(on_wire).map(|mtu| mtu.value)
    }

    /// Whether a node's interface on a net has what an interface of the machine has, or had: its addresses are not netlab's.
    pub fn has_the_machines(&self, node: usize, wire: Wire) -> bool {
        matches!(wire, Wire::Net(net) if node == 0
            && self.host_is_real()
            && (self.nets[net].is_shared() || self.nets[net].takes_over()))
    }

    /// The interface of the machine that a net is joined by.
    pub fn nic_of(&self, net: usize) -> Option<&NicDraft<'_>> {
        self.nics.iter().find(|nic| {
            matches!(nic.usage, NicUsage::Plugged { net: of, .. } | NicUsage::Shared { net: of } if of == net)
        })
    }

    /// Where packets from the lab come from on a wire: its subnets, or where others are on it too, the addresses of nodes.
    pub fn sources(&self, wire: Wire) -> Vec<IpNet> {
        match wire {
            Wire::Net(net) if self.nic_of(net).is_some() => {
                let nodes = self.members(wire).iter().filter(|(node, _)| *node != 0 || !self.host_is_real());
                let addrs =
                    nodes.flat_map(|(node, interface)| &self.nodes[*node].interfaces[*interface].addrs);
                addrs.map(|addr| IpNet::from(addr.addr())).collect()
            }
            _ => self.subnets(wire).iter().map(|subnet| subnet.net()).collect(),
        }
    }

    /// Whether the host is on a net, and so has its bridge.
    pub fn host_is_on(&self, net: usize) -> bool {
        self.nodes[0].interfaces.iter().any(|i| i.wire == Wire::Net(net))
    }
}
