//! A topology as written: every statement with its attributes, and where it stands in the text.
//!
//! Nothing here has been checked beyond its grammar. Equality ignores where things stand.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::Spanned;
use crate::name::MacAddr;
use crate::plan::{Family, Proto};

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `net ...`
    Net(NetStatement),
    /// `link ...`
    Link(LinkStatement),
    /// `node ...` or `router ...`
    Node(NodeStatement),
}

/// `net NAME [CIDR4] [CIDR6] { attribute }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetStatement {
    /// Its name.
    pub name: Spanned<String>,
    /// The subnets written, at most one of each family.
    pub subnets: Vec<Spanned<IpNet>>,
    /// Its attributes; never a `dev`, which says of a net what [`Uplink`] has.
    pub attributes: WireAttributes,
    /// What joins it to the machine's own network.
    pub uplink: Uplink,
}

/// What joins a net to the machine's own network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// `port=`: the interface of the machine that is a port of its bridge.
    pub port: Option<Spanned<String>>,
    /// `takeover`: that the bridge gets the addresses and routes of that interface.
    pub takeover: Option<Spanned<()>>,
    /// `force`: that the interface is taken although the machine is reached by it.
    pub force: Option<Spanned<()>>,
    /// `dev=`: the interface of the machine that is on the net, and stays as it is.
    pub dev: Option<Spanned<String>>,
}

/// `link NODE NODE [CIDR4] [CIDR6] { attribute }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatement {
    /// The nodes at its ends.
    pub nodes: [Spanned<String>; 2],
    /// The subnets written, at most one of each family.
    pub subnets: Vec<Spanned<IpNet>>,
    /// Its attributes; never a `dev` or a `mac`.
    pub attributes: WireAttributes,
}

/// `node NAME[COUNT] { attachment } { attribute }`, or `router` the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatement {
    /// Whether it says `router`.
    pub router: bool,
    /// Its name.
    pub name: Spanned<String>,
    /// How many, for an array.
    pub count: Option<Spanned<u32>>,
    /// The nets it is on, in order.
    pub attachments: Vec<Attachment>,
    /// Its attributes.
    pub attributes: NodeAttributes,
}

/// `NET[=ADDR,ADDR] [( attribute ... )]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The net.
    pub net: Spanned<String>,
    /// The addresses written.
    pub addrs: Vec<Spanned<AttachmentAddr>>,
    /// Its attributes.
    pub attributes: WireAttributes,
}

/// An address as an attachment writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentAddr {
    /// The whole address.
    Full(IpAddr),
    /// The part behind the subnet's prefix.
    Host(HostPart),
}

/// The host part of an address: `.11`, `.1.11`, `::b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPart {
    family: Family,
    number: u128,
}

impl HostPart {
    /// The host part with this number: at most 24 bits of IPv4, 112 bits of IPv6, which is what can be written.
    pub fn new(family: Family, number: u128) -> Option<Self> {
        let bits = match family {
            Family::V4 => 24,
            Family::V6 => 112,
        };
        (number >> bits == 0).then_some(Self { family, number })
    }

    /// Its family.
    pub fn family(self) -> Family {
        self.family
    }

    /// The number of the host in its subnet.
    pub fn number(self) -> u128 {
        self.number
    }
}

/// Attributes of what carries packets: a net, a link, or one attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireAttributes {
    /// `dev=`: name of the interface.
    pub dev: Option<Spanned<String>>,
    /// `mtu=`: largest packet, in bytes.
    pub mtu: Option<Spanned<u32>>,
    /// `mac=`: hardware address; of the bridge, when on a net.
    pub mac: Option<Spanned<MacAddr>>,
    /// `offload=on` or `offload=off`: whether checksums and segmentation are left to the receiver.
    pub offload: Option<Spanned<bool>>,
}

/// Attributes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAttributes {
    /// `via=`: where the default routes lead.
    pub vias: Vec<Spanned<Via>>,
    /// `forward`: that it forwards, although no router.
    pub forward: Option<Spanned<()>>,
    /// `route(...)`: further routes.
    pub routes: Vec<Spanned<Route>>,
    /// `addr=`: further addresses, on `lo`.
    pub addrs: Vec<Spanned<IpNet>>,
    /// `nat(...)`: what it masquerades.
    pub nats: Vec<Spanned<Nat>>,
    /// `dnat(...)`: ports it passes on.
    pub dnats: Vec<Spanned<Dnat>>,
    /// `sysctl(...)`: kernel settings.
    pub sysctls: Vec<Spanned<Sysctl>>,
    /// `firewall=`: what its rules are made with.
    pub firewall: Option<Spanned<Firewall>>,
    /// `real`: that it is the machine's own network.
    pub real: Option<Spanned<()>>,
    /// `nic(...)`: interfaces of the machine that are moved into it.
    pub nics: Vec<Spanned<Nic>>,
}

/// `nic(IF [force])[=ADDR/LEN,ADDR/LEN]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The interface of the machine.
    pub name: Spanned<String>,
    /// That it is taken although the machine is reached by it.
    pub force: Option<Spanned<()>>,
    /// The addresses it gets in the node, with the prefix length of the subnet it is on.
    pub addrs: Vec<Spanned<IpNet>>,
}

/// `via=`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// No default route.
    None,
    /// Through this node.
    Node(String),
    /// Through this address.
    Addr(IpAddr),
}

/// `route(CIDR via=NODE)`, `route(CIDR via=ADDR)` or `route(CIDR dev=NET)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: Spanned<IpNet>,
    /// How.
    pub hop: Spanned<Hop>,
}

/// The next hop of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Through this node.
    Node(String),
    /// Through this address.
    Addr(IpAddr),
    /// On the wire of this net or link.
    Wire(String),
}

/// `nat(NET [from=NET|CIDR])`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// The net (or link) that packets leave by.
    pub net: Spanned<String>,
    /// Only what comes from there.
    pub from: Option<Spanned<Origin>>,
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The subnets of this net (or link).
    Net(String),
    /// This subnet.
    Subnet(IpNet),
}

/// `dnat(PORT/PROTO -> NODE[:PORT] [from=NET])`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnat {
    /// The port that is passed on.
    pub port: Spanned<u16>,
    /// Its protocol.
    pub proto: Proto,
    /// Where to.
    pub target: Spanned<Target>,
    /// The port there, when another.
    pub target_port: Option<Spanned<u16>>,
    /// Only what arrives from this net (or link).
    pub from: Option<Spanned<String>>,
}

/// Where a port is passed on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node, in each family it has an address in.
    Node(String),
    /// An address.
    Addr(IpAddr),
}

/// `sysctl(KEY=VALUE)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Dotted key; a dot inside an interface name is written `/`, as `sysctl(8)` does.
    pub key: Spanned<String>,
    /// What is written to the file.
    pub value: Spanned<String>,
}

/// `firewall=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// nf_tables, over netlink.
    Nft,
    /// The programs `iptables` and `ip6tables`.
    Iptables,
}
