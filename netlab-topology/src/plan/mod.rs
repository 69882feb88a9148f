//! A topology made valid: every name resolved, every address, MAC address, interface name and index chosen.
//!
//! A [`Plan`] comes only from [`Topology::plan`](crate::Topology::plan), and is a function of the topology
//! alone: the same text gives the same plan on every machine, every time.
//!
//! Invariant: no I/O. Invariant: a plan cannot be wrong through the user's fault; what the kernel refuses is
//! the kernel's state.

mod devs;
mod hosts;
mod op;

pub use devs::DevRole;
pub(crate) use devs::{device_of_key, key_of_device};
pub use hosts::HostEntry;
pub use op::{Action, Dev, Family, Hook, Iptables, Match, Nft, Op, Place, Proto, Step, Table, VethEnd};

use ipnet::IpNet;

use crate::name::{IfName, MacAddr};
use crate::topology::Topology;

/// The checked, fully resolved topology as data.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) topology: Topology,
    pub(crate) places: Vec<String>,
    pub(crate) machine: Option<Place>,
    pub(crate) nodes: Vec<PlannedNode>,
    pub(crate) arrays: Vec<NodeArray>,
    pub(crate) nets: Vec<PlannedNet>,
    pub(crate) links: Vec<PlannedLink>,
    pub(crate) nics: Vec<PlannedNic>,
    pub(crate) steps: Vec<Step>,
}

/// A node with all that is decided about it.
#[derive(Clone, Debug)]
pub struct PlannedNode {
    /// Its name; an array's members are named with their number, from 1.
    pub name: String,
    /// Its namespace.
    pub place: Place,
    /// Whether it forwards packets (declared `router`, or `forward`).
    pub forwards: bool,
    /// Its interfaces, in order of attachment, without `lo`.
    pub interfaces: Vec<PlannedInterface>,
    /// Extra addresses on `lo` (`addr=`).
    pub loopback: Vec<IpNet>,
}

/// An interface of a node.
#[derive(Clone, Debug)]
pub struct PlannedInterface {
    /// Name and index.
    pub dev: Dev,
    /// Hardware address; none where it is that of an interface of the machine.
    pub mac: Option<MacAddr>,
    /// Largest packet, in bytes; none where it is that of an interface of the machine.
    pub mtu: Option<u32>,
    /// Addresses with the prefix length of the subnet, those of IPv4 first, each family in the order of the
    /// topology. What an interface of the machine has, or a bridge took over from one, is not among them.
    pub addrs: Vec<IpNet>,
    /// What it is attached to.
    pub wire: Wire,
}

/// What an interface is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A net, by its index in [`Plan::nets`].
    Net(usize),
    /// A link, by its index in [`Plan::links`].
    Link(usize),
    /// What an interface of the machine that was moved in is wired to, by its index in [`Plan::nics`].
    Nic(usize),
}

/// The nodes that one declaration `name[count]` makes.
#[derive(Clone, Debug)]
pub struct NodeArray {
    /// The name as declared.
    pub name: String,
    /// Its members, as indices of [`Plan::nodes`].
    pub members: Vec<usize>,
}

/// A switched segment.
#[derive(Clone, Debug)]
pub struct PlannedNet {
    /// Its name.
    pub name: String,
    /// Its subnets, at most one of each family.
    pub subnets: Vec<IpNet>,
    /// The namespace its bridge is in: the host if the host is on the net, else the switch namespace. Without a bridge, the
    /// machine.
    pub place: Place,
    /// The bridge; none when the net is what an interface of the machine is on (`dev=`).
    pub bridge: Option<Dev>,
    /// The bridge's ports; the host, when it is on the net, has none, since the bridge is its interface.
    pub ports: Vec<Port>,
}

/// A port of a bridge.
#[derive(Clone, Debug)]
pub struct Port {
    /// The bridge's side of the veth pair.
    pub dev: Dev,
    /// The node on the other side, as an index of [`Plan::nodes`].
    pub node: usize,
    /// Which of the node's interfaces, as an index of [`PlannedNode::interfaces`].
    pub interface: usize,
}

/// A direct wire between two nodes.
#[derive(Clone, Debug)]
pub struct PlannedLink {
    /// The names of its two nodes joined by `-`; further links between the same two have `-2`, `-3`, ... behind.
    pub name: String,
    /// Its ends: node and interface, as in [`Port`].
    pub ends: [(usize, usize); 2],
    /// Its subnets, at most one of each family.
    pub subnets: Vec<IpNet>,
}

/// An interface of the machine that the lab uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNic {
    /// Its name.
    pub name: IfName,
    /// What for.
    pub usage: NicUsage,
    /// Whether it is taken although the machine is reached by it.
    pub force: bool,
}

/// What an interface of the machine is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NicUsage {
    /// It is moved into a node (`nic(...)`).
    Moved {
        /// The node, as an index of [`Plan::nodes`].
        node: usize,
        /// Which of its interfaces it is there, as an index of [`PlannedNode::interfaces`].
        interface: usize,
    },
    /// It is made a port of a net's bridge (`port=`), and moved to it where that is not in the machine.
    Plugged {
        /// The net, as an index of [`Plan::nets`].
        net: usize,
        /// Whether the bridge gets its addresses and routes.
        takeover: bool,
    },
    /// It stays as it is; nodes are on its net by macvlan (`dev=`).
    Shared {
        /// The net, as an index of [`Plan::nets`].
        net: usize,
    },
}

impl Plan {
    /// The topology it was made from.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The names of the lab's namespaces: `host` first, then the nodes in order of declaration, then
    /// `switch` if any bridge needs one, then `machine` if interfaces of it are used and it is not the host.
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// The machine's own network namespace, if the lab touches it: the host's place with `node host real`, otherwise, where
    /// only interfaces of the machine are used, a place behind all others.
    ///
    /// A lab that has one is privileged.
    pub fn machine(&self) -> Option<Place> {
        self.machine
    }

    /// All nodes; the first is the host.
    pub fn nodes(&self) -> &[PlannedNode] {
        &self.nodes
    }

    /// The arrays of nodes.
    pub fn arrays(&self) -> &[NodeArray] {
        &self.arrays
    }

    /// All nets, in order of declaration.
    pub fn nets(&self) -> &[PlannedNet] {
        &self.nets
    }

    /// All links, in order of declaration.
    pub fn links(&self) -> &[PlannedLink] {
        &self.links
    }

    /// The interfaces of the machine that the lab uses: those of nets, then those of nodes, each in order of declaration.
    pub fn nics(&self) -> &[PlannedNic] {
        &self.nics
    }

    /// What has to be done, in an order that works.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The node of this name, as an index of [`Plan::nodes`].
    pub fn node(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The net of this name, as an index of [`Plan::nets`].
    pub fn net(&self, name: &str) -> Option<usize> {
        self.nets.iter().position(|net| net.name == name)
    }

    /// The link of this name, as an index of [`Plan::links`].
    pub fn link(&self, name: &str) -> Option<usize> {
        self.links.iter().position(|link| link.name == name)
    }

    /// The array of this name.
    pub fn array(&self, name: &str) -> Option<&NodeArray> {
        self.arrays.iter().find(|array| array.name == name)
    }

    /// Node and interface of all that are on a net, in order of attachment, the host included.
    pub fn members(&self, net: usize) -> impl Iterator<Item = (usize, &PlannedInterface)> {
        self.nodes.iter().enumerate().flat_map(move |(index, node)| {
            let on_net = node.interfaces.iter().filter(move |interface| interface.wire == Wire::Net(net));
            on_net.map(move |interface| (index, interface))
        })
    }

    /// The name of what an interface is attached to.
    pub fn wire_name(&self, wire: Wire) -> &str {
        match wire {
            Wire::Net(net) => &self.nets[net].name,
            Wire::Link(link) => &self.links[link].name,
            Wire::Nic(nic) => self.nics[nic].name.as_str(),
        }
    }

    /// The name of a place.
    pub fn place_name(&self, place: Place) -> &str {
        &self.places[place.0]
    }

    /// The interface of a dev name on a node.
    pub fn interface(&self, node: usize, name: &IfName) -> Option<&PlannedInterface> {
        self.nodes[node].interfaces.iter().find(|interface| interface.dev.name == *name)
    }
}
