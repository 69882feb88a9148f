//! Sockets of a node, for any runtime.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::endpoint::{self, ToEndpoint};
use super::{Node, state::State};
use crate::sys::{ioctl, namespace};

pub(super) async fn tcp_listener(node: &Node, endpoint: impl ToEndpoint) -> io::Result<TcpListener> {
    first(&addresses(node, endpoint).await?, |addr| {
        let listener = make(node, || std::net::TcpListener::bind(addr))?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    })
}

pub(super) async fn tcp_connect(node: &Node, endpoint: impl ToEndpoint) -> io::Result<TcpStream> {
    let mut last = nowhere();
    for addr in addresses(node, endpoint).await? {
        let socket = make(node, || if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?;
        match socket.connect(addr).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) async fn udp_socket(node: &Node, endpoint: impl ToEndpoint) -> io::Result<UdpSocket> {
    first(&addresses(node, endpoint).await?, |addr| {
        let socket = make(node, || std::net::UdpSocket::bind(addr))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    })
}

async fn addresses(node: &Node, endpoint: impl ToEndpoint) -> io::Result<Vec<SocketAddr>> {
    let endpoint::Endpoint { destination, port } = endpoint.to_endpoint()?;
    let addrs = endpoint::resolve(node, destination).await?;
    Ok(addrs.into_iter().map(|addr| SocketAddr::new(addr, port)).collect())
}

/// What the first address gives that gives anything.
fn first<T>(addrs: &[SocketAddr], mut attempt: impl FnMut(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = nowhere();
    for addr in addrs {
        match attempt(*addr) {
            Ok(made) => return Ok(made),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn nowhere() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no addresses")
}

/// Makes a socket on a thread in the node. A socket belongs to the namespace that it was made in for good, whoever uses it.
pub(super) fn make<S: std::os::fd::AsFd + Send>(
    node: &Node,
    make: impl FnOnce() -> io::Result<S> + Send,
) -> io::Result<S> {
    let entry = node.state().network_entry(node.index());
    let socket = namespace::on_thread(node.name(), || {
        entry.enter()?;
        make()
    })
    .flatten()?;
    debug_assert!(
        is_in(node.state(), node.index(), &socket)?,
        "a socket of `{}` is in another namespace",
        node.name()
    );
    Ok(socket)
}

/// Whether a socket is in the namespace of a node.
fn is_in(state: &State, node: usize, socket: &impl std::os::fd::AsFd) -> io::Result<bool> {
    let identity = |file: nix::sys::stat::FileStat| (file.st_dev, file.st_ino);
    let its = ioctl::socket_namespace(socket)?;
    let wanted = state.namespace(state.node(node).place);
    Ok(identity(nix::sys::stat::fstat(its)?) == identity(nix::sys::stat::fstat(wanted)?))
}
