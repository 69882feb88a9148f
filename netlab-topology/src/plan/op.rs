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
///
/// In the machine's own namespace ([`Plan::machine`](super::Plan::machine)) indexes and the names of ports are only proposals:
/// which ones are free there is known when the lab is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dev {
    /// Its name.
    pub name: IfName,
    /// Its `ifindex` in its namespace; [`Dev::OF_THE_MACHINE`] for an interface that the lab does not make.
    pub index: u32,
}

impl Dev {
    /// The index of an interface that is the machine's own, and known by its name until the lab is built. No interface has
    /// it (`dev_index_reserve` in net/core/dev.c counts from 1).
    pub const OF_THE_MACHINE: u32 = 0;

    /// Whether it is the machine's own, rather than made by the lab.
    pub fn is_of_the_machine(&self) -> bool {
        self.index == Self::OF_THE_MACHINE
    }
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
    /// Keeps the kernel from giving an interface a link-local address: a port of a bridge that bears addresses itself
    /// has none.
    DisableLinkLocal {
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
    /// Changes the namespace's firewall with the program `iptables` (or `ip6tables`): the machine's own, where its owner
    /// looks for rules, and that of nodes that ask for it (`firewall=iptables`).
    Iptables(Iptables),
    /// Moves an interface of the machine into another namespace. It loses addresses and routes on the way and is down there.
    ///
    /// This step's place is the machine.
    TakeNic {
        /// The interface.
        nic: Dev,
        /// Where it goes.
        to: Place,
        /// That namespace's name, for display.
        to_name: String,
        /// What it is there: the same name, another index.
        dev: Dev,
        /// Whether it is taken although the machine is reached by it.
        force: bool,
    },
    /// Makes an interface of the machine a port of a bridge beside it, and sets it up. Its addresses and routes are taken
    /// away meanwhile; with `takeover` the bridge gets them, and its MAC address.
    ///
    /// This step's place is the machine.
    PlugNic {
        /// The interface.
        nic: Dev,
        /// The bridge.
        bridge: Dev,
        /// Whether the bridge gets the interface's addresses and routes.
        takeover: bool,
        /// Whether it is taken although the machine is reached by it.
        force: bool,
    },
    /// Makes an interface a port of a bridge beside it, and sets it up.
    SetMaster {
        /// The interface.
        dev: Dev,
        /// The bridge.
        bridge: Dev,
    },
    /// Creates a macvlan (mode `bridge`) on an interface of the machine, with the new interface in another namespace from the
    /// start. The machine's interface keeps all it has.
    ///
    /// This step's place is the machine.
    AddMacvlan {
        /// The machine's interface.
        parent: Dev,
        /// The namespace of the new interface.
        peer_place: Place,
        /// That namespace's name, for display.
        peer_name: String,
        /// Name and index of the new interface.
        peer: Dev,
        /// Its hardware address.
        mac: MacAddr,
        /// Largest packet, in bytes; none: that of the machine's interface.
        mtu: Option<u32>,
    },
}

/// A change made with `iptables` (IPv4) or `ip6tables` (IPv6). All rules are in chains of netlab's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Iptables {
    /// Makes the chain for a hook, and jumps to it from the top of the built-in chain of that name.
    AddChain {
        /// Which program.
        family: Family,
        /// Which table.
        table: Table,
        /// Which built-in chain.
        hook: Hook,
    },
    /// Appends a rule to the chain for a hook.
    AddRule {
        /// Which program.
        family: Family,
        /// Which table.
        table: Table,
        /// The chain.
        hook: Hook,
        /// Conditions, all of which must hold.
        matches: Vec<Match>,
        /// What happens then.
        action: Action,
    },
}

impl Iptables {
    /// What the names of netlab's chains begin with; the built-in chain's name follows, and on the machine the run's id between
    /// the two.
    pub const PREFIX: &'static str = "NETLAB";

    /// The program's name.
    pub fn program(family: Family) -> &'static str {
        match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        }
    }
}

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Which packets pass.
    Filter,
    /// Translation of addresses.
    Nat,
}

impl Table {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
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
    /// Packets for this namespace, after routing.
    Input,
    /// Packets that pass through.
    Forward,
}

impl Hook {
    /// Name of the hook and of its chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Input => "input",
            Self::Forward => "forward",
        }
    }

    /// Priority: `NF_IP_PRI_NAT_DST` (-100), `NF_IP_PRI_NAT_SRC` (100) or `NF_IP_PRI_FILTER` (0),
    /// `include/uapi/linux/netfilter_ipv4.h`.
    pub fn priority(self) -> i32 {
        match self {
            Self::Prerouting | Self::Output => -100,
            Self::Postrouting => 100,
            Self::Input | Self::Forward => 0,
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
    /// Lets the packet pass.
    Accept,
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
            Self::DisableLinkLocal { dev } => write!(f, "ip link set {dev} addrgenmode none"),
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
            Self::Iptables(iptables) => write!(f, "{iptables}"),
            Self::TakeNic { nic, to_name, .. } => write!(f, "ip link set {nic} netns {to_name}"),
            Self::PlugNic { nic, bridge, takeover, .. } => {
                if *takeover {
                    write!(f, "ip link set {nic} up master {bridge} # its addresses and routes: to {bridge}")
                } else {
                    write!(f, "ip link set {nic} up master {bridge} # after ip addr flush dev {nic}")
                }
            }
            Self::SetMaster { dev, bridge } => write!(f, "ip link set {dev} up master {bridge}"),
            Self::AddMacvlan { parent, peer_name, peer, mac, mtu, .. } => {
                write!(
                    f,
                    "ip link add link {parent} {peer} index {} netns {peer_name} address {mac}",
                    peer.index
                )?;
                if let Some(mtu) = mtu {
                    write!(f, " mtu {mtu}")?;
                }
                f.write_str(" type macvlan mode bridge")
            }
        }
    }
}

impl fmt::Display for Iptables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = |hook: Hook| hook.name().to_uppercase();
        match self {
            Self::AddChain { family, table, hook } => {
                let (program, table, chain) = (Self::program(*family), table.name(), chain(*hook));
                let own = Self::PREFIX;
                write!(
                    f,
                    "{program} -t {table} -N {own}-{chain}; {program} -t {table} -I {chain} -j {own}-{chain}"
                )
            }
            Self::AddRule { family, table, hook, matches, action } => {
                let (program, table, chain) = (Self::program(*family), table.name(), chain(*hook));
                write!(f, "{program} -t {table} -A {}-{chain}", Self::PREFIX)?;
                self.write_rule(f, matches, *action)
            }
        }
    }
}

impl Iptables {
    /// The rule's conditions and its target, as arguments of the program: each with a space before it.
    fn write_rule(&self, f: &mut impl fmt::Write, matches: &[Match], action: Action) -> fmt::Result {
        for m in matches {
            match m {
                Match::OutgoingInterface(name) => write!(f, " -o {name}")?,
                Match::IncomingInterface(name) => write!(f, " -i {name}")?,
                Match::Source(net) => write!(f, " -s {net}")?,
                Match::Destination(addr) => write!(f, " -d {addr}")?,
                // That is which program is run.
                Match::Family(_) => {}
                Match::ToLocalAddress => f.write_str(" -m addrtype --dst-type LOCAL")?,
                Match::DestinationPort(proto, port) => write!(f, " -p {proto} --dport {port}")?,
            }
        }
        match action {
            Action::Masquerade => f.write_str(" -j MASQUERADE"),
            Action::Dnat { addr: IpAddr::V4(addr), port } => {
                write!(f, " -j DNAT --to-destination {addr}:{port}")
            }
            Action::Dnat { addr: IpAddr::V6(addr), port } => {
                write!(f, " -j DNAT --to-destination [{addr}]:{port}")
            }
            Action::Accept => f.write_str(" -j ACCEPT"),
        }
    }

    /// The specification of a rule, as the program takes it behind the chain's name; nothing for what adds no rule.
    pub fn rule(&self) -> Option<String> {
        match self {
            Self::AddChain { .. } => None,
            Self::AddRule { matches, action, .. } => {
                let mut rule = String::new();
                match self.write_rule(&mut rule, matches, *action) {
                    Ok(()) => Some(rule.trim_start().to_owned()),
                    Err(fmt::Error) => unreachable!("a `String` takes everything"),
                }
            }
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
            Self::Accept => f.write_str("accept"),
        }
    }
}
