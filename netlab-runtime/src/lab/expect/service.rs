//! What is expected to be reached.

use std::fmt;
use std::net::IpAddr;

use crate::kernel::inspect::Protocol;
use crate::lab::endpoint::{Destination, Endpoint, ToEndpoint, known};
use crate::lab::{LabError, Node};

/// A port of a node, or its answering to ICMP echo: `web.tcp(80)`, `dns.udp(53)`, `web.icmp()`.
///
/// It is looked at over every IP version of which both sides have an address, unless [`v4`](Self::v4) or [`v6`](Self::v6) says
/// otherwise: a firewall that forgets one of them is not to go unseen.
///
/// Where nothing listens, a check brings its own listener for as long as it takes, so that the network is looked at and not
/// the program; [`served`](Self::served) wants the program.
#[derive(Clone)]
pub struct Service {
    pub(super) node: Node,
    pub(super) kind: Kind,
    pub(super) family: Option<Family>,
    pub(super) behind: Option<Result<Endpoint, String>>,
    pub(super) served: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Port(Protocol, u16),
    Icmp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Node {
    /// A TCP port of it, for [`Lab::expect`](crate::lab::Lab::expect).
    pub fn tcp(&self, port: u16) -> Service {
        Service::new(self, Kind::Port(Protocol::Tcp, port))
    }

    /// A UDP port of it, for [`Lab::expect`](crate::lab::Lab::expect).
    pub fn udp(&self, port: u16) -> Service {
        Service::new(self, Kind::Port(Protocol::Udp, port))
    }

    /// Its answering to ICMP echo, for [`Lab::expect`](crate::lab::Lab::expect).
    pub fn icmp(&self) -> Service {
        Service::new(self, Kind::Icmp)
    }
}

impl Service {
    pub(super) fn new(node: &Node, kind: Kind) -> Self {
        Self { node: node.clone(), kind, family: None, behind: None, served: false }
    }

    /// Over IPv4 alone.
    pub fn v4(self) -> Self {
        Self { family: Some(Family::V4), ..self }
    }

    /// Over IPv6 alone.
    pub fn v6(self) -> Self {
        Self { family: Some(Family::V6), ..self }
    }

    /// Reached at another address and port than its own: behind DNAT or a load balancer, `web.tcp(80).behind("203.0.113.1:8080")`.
    ///
    /// Whatever stands between, what answers is to be this node.
    pub fn behind(self, endpoint: impl ToEndpoint) -> Self {
        Self { behind: Some(endpoint.to_endpoint().map_err(|error| error.to_string())), ..self }
    }

    /// As the test's own programs serve it: no listener is brought where there is none.
    ///
    /// It is also what to say while a program is still starting that wants the port for itself.
    pub fn served(self) -> Self {
        Self { served: true, ..self }
    }

    /// The addresses it is reached at from a node, with the port, best first.
    pub(super) fn addrs(&self, from: &Node) -> Result<Vec<IpAddr>, LabError> {
        let destination = match &self.behind {
            Some(Ok(endpoint)) => endpoint.destination.clone(),
            Some(Err(problem)) => return Err(LabError::msg(problem)),
            None => Destination::Name(self.node.name().to_owned()),
        };
        known(from.state(), from.index(), &destination).ok_or_else(|| match destination {
            Destination::Name(name) => LabError::msg(format!("nothing in the lab is called `{name}`")),
            Destination::Addr(addr) => LabError::msg(format!("nobody is at {addr}")),
        })
    }

    /// The port that is dialled.
    pub(super) fn port(&self) -> u16 {
        match (&self.behind, self.kind) {
            (Some(Ok(endpoint)), _) => endpoint.port,
            (_, Kind::Port(_, port)) => port,
            (_, Kind::Icmp) => 0,
        }
    }
}

/// Its answering to ICMP echo.
impl From<&Node> for Service {
    fn from(node: &Node) -> Self {
        node.icmp()
    }
}

impl From<&Self> for Service {
    fn from(service: &Self) -> Self {
        service.clone()
    }
}

/// As in tables: `web tcp/80`.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Port(protocol, port) => write!(f, "{} {protocol}/{port}", self.node.name()),
            Kind::Icmp => write!(f, "{} icmp", self.node.name()),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({self})")
    }
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Whether a node has an address of it.
    pub(super) fn is_on(self, node: &Node) -> bool {
        node.addrs().into_iter().any(|addr| Self::of(addr) == self)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
