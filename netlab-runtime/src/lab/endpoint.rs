//! What can be pinged, connected to and listened on: addresses, names, nodes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ipnet::IpNet;
use netlab_topology::plan::PlannedNode;

use super::Node;
use super::state::State;
use super::thread::detached;
use crate::sys::namespace;

/// Something with an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The address itself.
    Addr(IpAddr),
    /// A name: a node's, or whatever resolves in the asking node.
    Name(String),
}

/// Something with an IP address and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub destination: Destination,
    /// TCP or UDP port.
    pub port: u16,
}

/// What names something with an IP address: an address, a name, `&Node` (its first address).
#[diagnostic::on_unimplemented(
    message = "`{Self}` names nothing with an IP address",
    note = "give an `IpAddr`, a name or address as text, or a `&Node`"
)]
pub trait ToDestination {
    /// The destination.
    fn to_destination(&self) -> Destination;
}

/// What names something with an IP address and a port: a `SocketAddr`, text such as `"web:80"`, or a pair of what names
/// an address and the port, as in `(&node, 80)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` names nothing with an IP address and a port",
    note = "give a `SocketAddr`, text such as \"web:80\", or a pair such as `(&node, 80)` or `(addr, 80)`"
)]
pub trait ToEndpoint {
    /// The endpoint.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for text that has no port.
    fn to_endpoint(&self) -> io::Result<Endpoint>;
}

impl ToDestination for IpAddr {
    fn to_destination(&self) -> Destination {
        Destination::Addr(*self)
    }
}

impl ToDestination for Ipv4Addr {
    fn to_destination(&self) -> Destination {
        Destination::Addr((*self).into())
    }
}

impl ToDestination for Ipv6Addr {
    fn to_destination(&self) -> Destination {
        Destination::Addr((*self).into())
    }
}

impl ToDestination for str {
    fn to_destination(&self) -> Destination {
        self.parse().map_or_else(|_name| Destination::Name(self.to_owned()), Destination::Addr)
    }
}

impl ToDestination for String {
    fn to_destination(&self) -> Destination {
        self.as_str().to_destination()
    }
}

impl ToDestination for Destination {
    fn to_destination(&self) -> Destination {
        self.clone()
    }
}

/// By name, so that the asking node picks the address that it shares a net with.
impl ToDestination for Node {
    fn to_destination(&self) -> Destination {
        Destination::Name(self.name().to_owned())
    }
}

impl<T: ToDestination + ?Sized> ToDestination for &T {
    fn to_destination(&self) -> Destination {
        (**self).to_destination()
    }
}

impl<T: ToDestination> ToEndpoint for (T, u16) {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        Ok(Endpoint { destination: self.0.to_destination(), port: self.1 })
    }
}

impl ToEndpoint for SocketAddr {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (self.ip(), self.port()).to_endpoint()
    }
}

impl ToEndpoint for SocketAddrV4 {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (*self.ip(), self.port()).to_endpoint()
    }
}

impl ToEndpoint for SocketAddrV6 {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (*self.ip(), self.port()).to_endpoint()
    }
}

impl ToEndpoint for str {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return addr.to_endpoint();
        }
        let parts = self.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let (name, port) = parts.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{self}` is no address with a port, as in `web:80`"),
            )
        })?;
        (name, port).to_endpoint()
    }
}

impl ToEndpoint for String {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        self.as_str().to_endpoint()
    }
}

impl ToEndpoint for Endpoint {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        Ok(self.clone())
    }
}

impl<T: ToEndpoint + ?Sized> ToEndpoint for &T {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (**self).to_endpoint()
    }
}

/// The addresses of a destination as seen from the node `from`, best first, without asking anybody; none if it is a name
/// that the lab does not have.
pub(super) fn known(state: &State, from: usize, destination: &Destination) -> Option<Vec<IpAddr>> {
    match destination {
        Destination::Addr(addr) => Some(vec![*addr]),
        Destination::Name(name) => match state.plan.node(name) {
            Some(node) => Some(best_first(state.node(from), state.node(node))),
            None => {
                let entries = state.plan.hosts().into_iter().filter(|entry| entry.names.contains(name));
                Some(entries.map(|entry| entry.addr).collect()).filter(|addrs: &Vec<_>| !addrs.is_empty())
            }
        },
    }
}

/// The addresses of a destination as seen from a node, best first.
pub(crate) async fn resolve(node: &Node, destination: Destination) -> io::Result<Vec<IpAddr>> {
    if let Some(addrs) = known(node.state(), node.index(), &destination) {
        return Ok(addrs);
    }
    let entry = node.state().entry(node.index())?;
    detached(node.name(), move || {
        entry.enter()?;
        look_up(&destination)
    })
    .await
}

/// As [`resolve`], for callers that may block.
pub(super) fn resolve_blocking(node: &Node, destination: &Destination) -> io::Result<Vec<IpAddr>> {
    if let Some(addrs) = known(node.state(), node.index(), destination) {
        return Ok(addrs);
    }
    let entry = node.state().entry(node.index())?;
    namespace::on_thread(node.name(), || {
        entry.enter()?;
        look_up(destination)
    })
    .flatten()
}

/// Asks the system's resolver, in the calling thread's node.
fn look_up(destination: &Destination) -> io::Result<Vec<IpAddr>> {
    match destination {
        Destination::Addr(addr) => Ok(vec![*addr]),
        Destination::Name(name) => {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 0))?;
            Ok(found.map(|addr| addr.ip()).collect())
        }
    }
}

/// All addresses of `to`, those on a subnet of `from` first, IPv4 before IPv6.
fn best_first(from: &PlannedNode, to: &PlannedNode) -> Vec<IpAddr> {
    let wired =
        |node: &PlannedNode| node.interfaces.iter().flat_map(|interface| interface.addrs.clone()).collect();
    let near: Vec<IpNet> = wired(from);
    let mut addrs: Vec<IpAddr> = wired(to).iter().chain(&to.loopback).map(IpNet::addr).collect();
    addrs.sort_by_key(|addr| (!near.iter().any(|net| net.contains(addr)), addr.is_ipv6()));
    addrs
}

#[cfg(test)]
mod tests {
    use super::{Destination, Endpoint, ToEndpoint};

    #[test]
    fn text_is_an_address_or_a_name_with_a_port() {
        let name = |name: &str, port| Endpoint { destination: Destination::Name(name.to_owned()), port };
        assert_eq!("web:80".to_endpoint().unwrap(), name("web", 80));
        let addr =
            |addr: &str, port| Endpoint { destination: Destination::Addr(addr.parse().unwrap()), port };
        assert_eq!("[fd00::1]:80".to_endpoint().unwrap(), addr("fd00::1", 80));
        assert_eq!(("10.0.0.1", 80).to_endpoint().unwrap(), addr("10.0.0.1", 80));
        assert!("web".to_endpoint().is_err());
        assert!("web:http".to_endpoint().is_err());
    }
}
