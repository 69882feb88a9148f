//! Neighbour tables and bridges' forwarding tables (`RTM_GETNEIGH`).

use std::fmt;
use std::io;
use std::net::IpAddr;

use netlab_topology::MacAddr;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState as State,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Names, name_of};
use crate::kernel::NetlinkSocket;

/// An entry of a neighbour table (ARP for IPv4, neighbour discovery for IPv6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Neighbour {
    /// The neighbour.
    pub addr: IpAddr,
    /// Its hardware address; none while it is not known.
    pub mac: Option<MacAddr>,
    /// The interface it is reached by.
    pub dev: String,
    /// How much the entry is worth.
    pub state: NeighbourState,
}

/// State of a neighbour entry (RFC 4861 section 7.3.2; `NUD_*` in `include/uapi/linux/neighbour.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NeighbourState {
    /// Asked for, not answered yet.
    Incomplete,
    /// Confirmed of late.
    Reachable,
    /// Valid, to be confirmed when it is next used.
    Stale,
    /// In use, about to be confirmed.
    Delay,
    /// Being confirmed.
    Probe,
    /// Not answered.
    Failed,
    /// Nothing to ask for: multicast and the like.
    NoArp,
    /// Set by hand.
    Permanent,
    /// Anything else.
    None,
}

impl fmt::Display for NeighbourState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
            Self::NoArp => "NOARP",
            Self::Permanent => "PERMANENT",
            Self::None => "NONE",
        })
    }
}

impl From<State> for NeighbourState {
    fn from(state: State) -> Self {
        match state {
            State::Incomplete => Self::Incomplete,
            State::Reachable => Self::Reachable,
            State::Stale => Self::Stale,
            State::Delay => Self::Delay,
            State::Probe => Self::Probe,
            State::Failed => Self::Failed,
            State::Noarp => Self::NoArp,
            State::Permanent => Self::Permanent,
            _ => Self::None,
        }
    }
}

/// As `ip neigh`.
impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.addr, self.dev)?;
        if let Some(mac) = self.mac {
            write!(f, " lladdr {mac}")?;
        }
        write!(f, " {}", self.state)
    }
}

/// An entry of a bridge's forwarding table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FdbEntry {
    /// The address that frames are sent to.
    pub mac: MacAddr,
    /// Index of the port that they leave by; the bridge itself for its own address.
    pub port_index: u32,
    /// That port's name.
    pub port: String,
    /// The node on the other side of the port, as far as the port is one of the topology's.
    pub node: Option<String>,
    /// Whether the bridge learned it from traffic, as opposed to its being the address of the port itself.
    pub learned: bool,
}

/// As `bridge fdb`.
impl fmt::Display for FdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.mac, self.port)?;
        if let Some(node) = &self.node {
            write!(f, " (node {node})")?;
        }
        f.write_str(if self.learned { "" } else { " permanent" })
    }
}

/// The neighbour tables of the socket's namespace, without entries for multicast groups and the like.
pub(crate) fn neighbours(socket: &mut NetlinkSocket, names: &Names) -> io::Result<Vec<Neighbour>> {
    let messages = table(socket, AddressFamily::Unspec)?;
    let mut neighbours: Vec<_> = messages
        .into_iter()
        .filter_map(|message| {
            let state = NeighbourState::from(message.header.state);
            let mut neighbour = None;
            let mut mac = None;
            for attribute in message.attributes {
                match attribute {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(addr)) => {
                        neighbour = Some(addr.into());
                    }
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(addr)) => {
                        neighbour = Some(addr.into());
                    }
                    NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok().map(MacAddr),
                    _ => {}
                }
            }
            let dev = name_of(names, message.header.ifindex);
            (state != NeighbourState::NoArp).then_some(Neighbour { addr: neighbour?, mac, dev, state })
        })
        .collect();
    neighbours.sort_by_key(|neighbour| neighbour.addr);
    Ok(neighbours)
}

/// The forwarding table of the bridge with the index `bridge` in the socket's namespace.
pub(crate) fn fdb(socket: &mut NetlinkSocket, bridge: u32, names: &Names) -> io::Result<Vec<FdbEntry>> {
    let messages = table(socket, AddressFamily::Bridge)?;
    let mut entries: Vec<_> = messages
        .into_iter()
        .filter_map(|message| {
            let learned = message.header.state != State::Permanent;
            let port_index = message.header.ifindex;
            let mut of = None;
            let mut mac = None;
            let mut vlan = false;
            for attribute in message.attributes {
                match attribute {
                    NeighbourAttribute::Controller(master) => of = Some(master),
                    NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok().map(MacAddr),
                    NeighbourAttribute::Vlan(_) => vlan = true,
                    _ => {}
                }
            }
            // Without VLAN filtering the default VLAN's entries only repeat the others; entries without a bridge are
            // the multicast addresses that a device listens to.
            let entry =
                FdbEntry { mac: mac?, port_index, port: name_of(names, port_index), node: None, learned };
            (of == Some(bridge) && !vlan).then_some(entry)
        })
        .collect();
    entries.sort_by_key(|entry| (entry.port_index, entry.mac));
    Ok(entries)
}

fn table(socket: &mut NetlinkSocket, family: AddressFamily) -> io::Result<Vec<NeighbourMessage>> {
    let messages = socket.dump(|| {
        let mut request = NeighbourMessage::default();
        request.header.family = family;
        RouteNetlinkMessage::GetNeighbour(request)
    })?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(entry) => Some(entry),
            _ => None,
        })
        .collect())
}
