//! The operations of a plan: data with one meaning each, whose `Display` is the equivalent command.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::{IfName, MacAddr};

/// One operation in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it happens.
    pub place: Place,
    /// What is done there.
    pub op: Op,
}

/// A network namespace of a lab: the index of it in [`Plan::places`](super::Plan::places).
///
/// Place 0 is the host, which the sandbox is born with; every other one is made by [`Op::AddNamespace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub usize);

impl Place {
    /// The namespace the test body runs in.
    pub const HOST: Self = Self(0);
}

/// An interface by both its handles. The index is chosen by the plan, so that no step has to look it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dev {
    /// Its name.
    pub name: IfName,
    /// Its `ifindex` in its namespace.
    pub index: u32,
}

impl fmt::Display for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}

/// One end of a veth pair as it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VethEnd {
    /// Name and index.
    pub dev: Dev,
    /// Hardware address.
    pub mac: MacAddr,
    /// Largest packet, in bytes.
    pub mtu: u32,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes the place's namespace.
    AddNamespace {
        /// The name it has in the lab (it has none in the file system).
        name: String,
    },
    /// Sets a sysctl of the namespace (or, for `net.bridge.*`, of the namespace's bridges).
    SetSysctl {
        /// Dotted key. A dot inside an interface name is written `/`, as `sysctl(8)` does.
        key: String,
        /// Value as written to the file.
        value: String,
    },
    /// Creates a bridge with multicast snooping off and no forward delay.
    ///
    /// One that only switches is created up. One that bears addresses stays down until its ports are up in operation:
    /// its own carrier follows theirs up to a second late, and what it sends before that is lost.
    AddBridge {
        /// Name and index.
        dev: Dev,
        /// Hardware address.
        mac: MacAddr,
        /// Largest packet, in bytes.
        mtu: u32,
        /// Whether it is up from the start.
        up: bool,
    },
    /// Creates a veth pair with its first end here and the other in `peer_place`, neither ever moved.
    ///
    /// With a `master` the first end is enslaved and set up in the same message; otherwise it stays down.
    AddVeth {
        /// The end in this step's place.
        end: VethEnd,
        /// The bridge that the first end is a port of.
        master: Option<Dev>,
        /// The namespace of the other end.
        peer_place: Place,
        /// That namespace's name, for display.
        peer_name: String,
        /// The end in `peer_place`.
        peer: VethEnd,
    },
    /// Sets an interface up.
    SetUp {
        /// The interface.
        dev: Dev,
    },
    /// Turns transmit checksum and segmentation offload off.
    DisableOffload {
        /// The interface.
        dev: Dev,
    },
    /// Adds an address, IPv4 with the subnet's broadcast address, IPv6 without duplicate address detection.
    AddAddress {
        /// The interface.
        dev: Dev,
        /// Address and prefix length.
        addr: IpNet,
    },
    /// Adds a route.
    AddRoute {
        /// Destination; the whole of a family's space is the default route.
        destination: IpNet,
        /// Next hop; none for a destination that is on the wire.
        via: Option<IpAddr>,
        /// Outgoing interface.
        dev: Dev,
    },
    /// Changes the namespace's firewall (nf_tables).
    Nft(Nft),
}

/// A change of nf_tables. Everything is in the table [`Nft::TABLE`] of the family `inet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nft {
    /// Adds the table.
    AddTable,
    /// Adds a base chain of type `nat`, named as the hook.
    AddNatChain {
        /// Where in the packet's path.
        hook: Hook,
    },
    /// Appends a rule to the chain of a hook.
    AddRule {
        /// The chain.
        hook: Hook,
        /// Conditions, all of which must hold.
        matches: Vec<Match>,
        /// What happens then.
        action: Action,
    },
}

impl Nft {
    /// Name of the table that holds all of a lab's rules in a namespace.
    pub const TABLE: &'static str = "netlab";
}

/// A hook of the `inet` family, with the priority `nft(8)` gives NAT there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets that arrive, before routing.
    Prerouting,
    /// Packets made in this namespace, before routing.
    Output,
    /// Packets that leave, after routing.
    Postrouting,
}

impl Hook {
    /// Name of the hook and of its chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }

    /// Priority: `NF_IP_PRI_NAT_DST` (-100) or `NF_IP_PRI_NAT_SRC` (100), `include/uapi/linux/netfilter_ipv4.h`.
    pub fn priority(self) -> i32 {
        match self {
            Self::Prerouting | Self::Output => -100,
            Self::Postrouting => 100,
        }
    }
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Leaves by this interface.
    OutgoingInterface(IfName),
    /// Arrived by this interface.
    IncomingInterface(IfName),
    /// Source address within this subnet (and so of its family).
    Source(IpNet),
    /// Destination is exactly this address (and so of its family).
    Destination(IpAddr),
    /// Is of this family.
    Family(Family),
    /// Destination is an address of this namespace (`fib daddr type local`).
    ToLocalAddress,
    /// Transport protocol and destination port.
    DestinationPort(Proto, u16),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replaces the source by the address of the outgoing interface.
    Masquerade,
    /// Replaces the destination.
    Dnat {
        /// The new address.
        addr: IpAddr,
        /// The new port.
        port: u16,
    },
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proto {
    /// TCP, protocol number 6.
    Tcp,
    /// UDP, protocol number 17.
    Udp,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddNamespace { name } => write!(f, "ip netns add {name}"),
            Self::SetSysctl { key, value } => {
                if value.contains(char::is_whitespace) {
                    write!(f, "sysctl -w {key}=\"{value}\"")
                } else {
                    write!(f, "sysctl -w {key}={value}")
                }
            }
            Self::AddBridge { dev, mac, mtu, up } => write!(
                f,
                "ip link add {dev} index {} {}address {mac} mtu {mtu} type bridge forward_delay 0 mcast_snooping 0",
                dev.index,
                if *up { "up " } else { "" }
            ),
            Self::AddVeth { end, master, peer_name, peer, .. } => {
                write!(f, "ip link add {} index {}", end.dev, end.dev.index)?;
                if let Some(master) = master {
                    write!(f, " up master {master}")?;
                }
                write!(f, " address {} mtu {} numtxqueues 1 numrxqueues 1 type veth", end.mac, end.mtu)?;
                write!(f, " peer {} index {} netns {peer_name}", peer.dev, peer.dev.index)?;
                write!(f, " address {} mtu {} numtxqueues 1 numrxqueues 1", peer.mac, peer.mtu)
            }
            Self::SetUp { dev } => write!(f, "ip link set {dev} up"),
            Self::DisableOffload { dev } => write!(f, "ethtool -K {dev} tx off tso off gso off"),
            Self::AddAddress { dev, addr: addr @ IpNet::V4(net) } => {
                write!(f, "ip addr add {addr}")?;
                if net.prefix_len() < 31 {
                    write!(f, " broadcast {}", net.broadcast())?;
                }
                write!(f, " dev {dev}")
            }
            Self::AddAddress { dev, addr } => write!(f, "ip addr add {addr} dev {dev} nodad"),
            Self::AddRoute { destination, via, dev } => {
                f.write_str(if destination.addr().is_ipv6() { "ip -6 route add " } else { "ip route add " })?;
                if destination.prefix_len() == 0 {
                    f.write_str("default")?;
                } else {
                    write!(f, "{destination}")?;
                }
                if let Some(via) = via {
                    write!(f, " via {via}")?;
                }
                write!(f, " dev {dev}")
            }
            Self::Nft(nft) => write!(f, "{nft}"),
        }
    }
}

impl fmt::Display for Nft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = Self::TABLE;
        match self {
            Self::AddTable => write!(f, "nft add table inet {table}"),
            Self::AddNatChain { hook } => write!(
                f,
                "nft add chain inet {table} {name} '{{ type nat hook {name} priority {}; }}'",
                hook.priority(),
                name = hook.name()
            ),
            Self::AddRule { hook, matches, action } => {
                write!(f, "nft add rule inet {table} {}", hook.name())?;
                for m in matches {
                    write!(f, " {m}")?;
                }
                write!(f, " {action}")
            }
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |v4| if v4 { "ip" } else { "ip6" };
        match self {
            Self::OutgoingInterface(name) => write!(f, "oifname {name}"),
            Self::IncomingInterface(name) => write!(f, "iifname {name}"),
            Self::Source(net) => write!(f, "{} saddr {net}", family(net.addr().is_ipv4())),
            Self::Destination(addr) => write!(f, "{} daddr {addr}", family(addr.is_ipv4())),
            Self::Family(Family::V4) => f.write_str("meta nfproto ipv4"),
            Self::Family(Family::V6) => f.write_str("meta nfproto ipv6"),
            Self::ToLocalAddress => f.write_str("fib daddr type local"),
            Self::DestinationPort(proto, port) => write!(f, "{proto} dport {port}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade => f.write_str("masquerade"),
            Self::Dnat { addr: IpAddr::V4(addr), port } => write!(f, "dnat ip to {addr}:{port}"),
            Self::Dnat { addr: IpAddr::V6(addr), port } => write!(f, "dnat ip6 to [{addr}]:{port}"),
        }
    }
}
