//! Sockets of a node, for any runtime.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::endpoint::{self, ToEndpoint};
use super::{Node, state::State};
use crate::sys::{ioctl, namespace};

/// What to do with one of a name's addresses.
async fn each<T>(
    node: &Node,
    endpoint: impl ToEndpoint,
    mut attempt: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let endpoint::Endpoint { destination, port } = endpoint.to_endpoint()?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    for addr in endpoint::resolve(node, destination).await? {
        match attempt(SocketAddr::new(addr, port)).await {
            Ok(made) => return Ok(made),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) async fn tcp_listener(node: &Node, endpoint: impl ToEndpoint) -> io::Result<TcpListener> {
    each(node, endpoint, async |addr| {
        let listener = make(node, || std::net::TcpListener::bind(addr))?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    })
    .await
}

pub(super) async fn tcp_connect(node: &Node, endpoint: impl ToEndpoint) -> io::Result<TcpStream> {
    each(node, endpoint, async |addr| {
        let socket = make(node, || if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?;
        socket.connect(addr).await
    })
    .await
}

pub(super) async fn udp_socket(node: &Node, endpoint: impl ToEndpoint) -> io::Result<UdpSocket> {
    each(node, endpoint, async |addr| {
        let socket = make(node, || std::net::UdpSocket::bind(addr))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    })
    .await
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
