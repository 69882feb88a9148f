//! Routing tables (`RTM_GETROUTE`).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Names, name_of};
use crate::kernel::NetlinkSocket;

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Destination; the whole of a family's space is the default route.
    pub destination: IpNet,
    /// Next hop; none for what is on the wire.
    pub via: Option<IpAddr>,
    /// Outgoing interface; none for a route that refuses (`unreachable`, `blackhole`, ...).
    pub dev: Option<String>,
    /// Source address that packets are given.
    pub source: Option<IpAddr>,
    /// Metric; a lower one is preferred. The kernel gives IPv6 routes 256 or 1024 where none is asked for.
    pub metric: Option<u32>,
    /// `unicast` for those that forward; else what happens to packets.
    pub kind: String,
    /// Who made it: `kernel`, `static`, ...
    pub protocol: String,
}

impl Route {
    /// Whether this is a default route.
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0
    }
}

/// As `ip route`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != "unicast" {
            write!(f, "{} ", self.kind)?;
        }
        if self.is_default() {
            f.write_str("default")?;
        } else if self.destination.prefix_len() == self.destination.max_prefix_len() {
            write!(f, "{}", self.destination.addr())?;
        } else {
            write!(f, "{}", self.destination)?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        write!(f, " proto {}", self.protocol)?;
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        Ok(())
    }
}

/// The main tables of the socket's namespace, IPv4 first; a route over several next hops gives one entry for each.
pub(crate) fn routes(socket: &mut NetlinkSocket, names: &Names) -> io::Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let messages = socket.dump(|| {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            RouteNetlinkMessage::GetRoute(request)
        });
        let messages = match messages {
            Ok(messages) => messages,
            // A kernel without IPv6 has no such table.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => continue,
            Err(error) => return Err(error),
        };
        for message in messages {
            // A table past 255 is told by an attribute, and `header.table` is then not the main one (`rtm_table`).
            if let RouteNetlinkMessage::NewRoute(message) = message
                && message.header.table == RouteHeader::RT_TABLE_MAIN
            {
                push(message, names, &mut routes);
            }
        }
    }
    Ok(routes)
}

fn push(message: RouteMessage, names: &Names, into: &mut Vec<Route>) {
    let unspecified: IpAddr = match message.header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let RouteHeader { destination_prefix_length, protocol, kind, .. } = message.header;
    let mut route = Route {
        destination: IpNet::from(unspecified),
        via: None,
        dev: None,
        source: None,
        metric: None,
        kind: kind_name(kind),
        protocol: protocol_name(protocol),
    };
    let mut destination = unspecified;
    let mut hops = Vec::new();
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(addr) => destination = ip(&addr).unwrap_or(unspecified),
            RouteAttribute::PrefSource(addr) => route.source = ip(&addr),
            RouteAttribute::Priority(metric) => route.metric = Some(metric),
            RouteAttribute::Oif(index) => route.dev = Some(name_of(names, index)),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => route.via = next_hop(&attribute),
            RouteAttribute::MultiPath(paths) => hops = paths,
            _ => {}
        }
    }
    // What the kernel sends has a length within its family's.
    route.destination = IpNet::new(destination, destination_prefix_length).unwrap_or(route.destination);
    if hops.is_empty() {
        into.push(route);
        return;
    }
    for hop in hops {
        let via = hop.attributes.iter().find_map(next_hop);
        into.push(Route { via, dev: Some(name_of(names, hop.interface_index)), ..route.clone() });
    }
}

fn next_hop(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(addr) => ip(addr),
        RouteAttribute::Via(RouteVia::Inet(addr)) => Some((*addr).into()),
        RouteAttribute::Via(RouteVia::Inet6(addr)) => Some((*addr).into()),
        _ => None,
    }
}

fn ip(addr: &RouteAddress) -> Option<IpAddr> {
    match addr {
        RouteAddress::Inet(addr) => Some((*addr).into()),
        RouteAddress::Inet6(addr) => Some((*addr).into()),
        _ => None,
    }
}

/// Names as of `ip route`, `RTN_*` in `include/uapi/linux/rtnetlink.h`.
fn kind_name(kind: RouteType) -> String {
    match kind {
        RouteType::BlackHole => "blackhole".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Names as of `ip route`, `RTPROT_*` in `include/uapi/linux/rtnetlink.h`.
fn protocol_name(protocol: RouteProtocol) -> String {
    match protocol {
        RouteProtocol::Other(number) => number.to_string(),
        named => format!("{named:?}").to_lowercase(),
    }
}
