//! Links and their addresses (`RTM_GETLINK`, `RTM_GETADDR`).

use std::fmt;
use std::io;

use ipnet::IpNet;
use netlab_topology::MacAddr;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};

use crate::kernel::NetlinkSocket;

/// An interface as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What makes it: `veth`, `bridge`, ...; none for `lo` and hardware.
    pub kind: Option<String>,
    /// Hardware address; none where the link layer has no six-byte addresses.
    pub mac: Option<MacAddr>,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Whether it is set up (`IFF_UP`).
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Its state in operation.
    pub state: OperState,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// Its addresses with their prefix length, in the kernel's order, IPv4 first. Link-local ones are among them.
    pub addrs: Vec<IpNet>,
}

/// State of an interface in operation (RFC 2863; `IF_OPER_*` in `include/uapi/linux/if.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperState {
    /// Not told by the driver: `lo` always.
    Unknown,
    /// Some part is missing.
    NotPresent,
    /// Down.
    Down,
    /// Down since what it is on is down: a veth whose other end is.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waiting for something from outside.
    Dormant,
    /// Up.
    Up,
}

impl fmt::Display for OperState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "UNKNOWN",
            Self::NotPresent => "NOTPRESENT",
            Self::Down => "DOWN",
            Self::LowerLayerDown => "LOWERLAYERDOWN",
            Self::Testing => "TESTING",
            Self::Dormant => "DORMANT",
            Self::Up => "UP",
        })
    }
}

impl From<State> for OperState {
    fn from(state: State) -> Self {
        match state {
            State::NotPresent => Self::NotPresent,
            State::Down => Self::Down,
            State::LowerLayerDown => Self::LowerLayerDown,
            State::Testing => Self::Testing,
            State::Dormant => Self::Dormant,
            State::Up => Self::Up,
            _ => Self::Unknown,
        }
    }
}

/// As `ip -brief`: name, state, index, kind, MAC address, MTU, then the addresses.
impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, kind, mac, mtu, up, state, addrs, .. } = self;
        write!(f, "{name} {state}{} index {index}", if *up { "" } else { " (set down)" })?;
        if let Some(kind) = kind {
            write!(f, " {kind}")?;
        }
        if let Some(mac) = mac {
            write!(f, " {mac}")?;
        }
        write!(f, " mtu {mtu}")?;
        addrs.iter().try_for_each(|addr| write!(f, " {addr}"))
    }
}

/// All interfaces of the socket's namespace, by index.
pub(crate) fn interfaces(socket: &mut NetlinkSocket) -> io::Result<Vec<Interface>> {
    let links = socket.dump(|| {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        RouteNetlinkMessage::GetLink(request)
    })?;
    let mut interfaces: Vec<_> = links
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(interface(link)),
            _ => None,
        })
        .collect();
    for message in socket.dump(|| RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(interface) = interfaces.iter_mut().find(|known| known.index == message.header.index)
        {
            interface.addrs.extend(address(&message));
        }
    }
    for interface in &mut interfaces {
        interface.addrs.sort_by_key(|addr| addr.addr().is_ipv6());
    }
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

fn interface(link: LinkMessage) -> Interface {
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        kind: None,
        mac: None,
        mtu: 0,
        up: link.header.flags.contains(LinkFlags::Up),
        loopback: link.header.flags.contains(LinkFlags::Loopback),
        state: OperState::Unknown,
        master: None,
        addrs: Vec::new(),
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Address(mac) => interface.mac = mac.try_into().ok().map(MacAddr),
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::OperState(state) => interface.state = state.into(),
            LinkAttribute::Controller(master) => interface.master = Some(master),
            LinkAttribute::LinkInfo(infos) => {
                interface.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind),
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    interface
}

fn address(message: &AddressMessage) -> Option<IpNet> {
    // On a point-to-point interface `Address` is the far end's, and `Local` is always the near end's; IPv6 has no
    // `Local` otherwise.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(addr) => Some(*addr),
        _ => None,
    });
    let addr = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(addr) => Some(*addr),
            _ => None,
        })
    })?;
    IpNet::new(addr, message.header.prefix_len).ok()
}
