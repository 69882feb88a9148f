//! Who stands at a port that is to be reached: a program of the test's, or, where there is none, a listener of the check's own
//! that says to everyone who comes who it is and whom it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::rows::Row;
use super::service::Kind;
use crate::kernel::inspect::{Protocol, Socket};
use crate::lab::Node;
use crate::lab::socket::make;

/// Who stands at a port.
#[derive(Clone, Debug)]
pub(super) enum Stand {
    /// A listener of the check's own.
    Own(Greeting),
    /// Somebody else's.
    Theirs { node: Node, port: u16 },
}

/// What a listener of the check's own says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting(String);

/// A port of a node.
type Port = (usize, Protocol, u16);
/// A port, and the address that it is dialled at.
type Key = (Port, IpAddr);

/// The listeners of a check; they end with it.
#[derive(Debug, Default)]
pub(super) struct Stands {
    by_key: BTreeMap<Key, Result<Stand, String>>,
    listening: JoinSet<()>,
}

impl Greeting {
    pub(super) fn of(node: &Node) -> Self {
        Self(format!("netlab {}", node.name()))
    }

    fn line(&self, to: SocketAddr) -> Vec<u8> {
        format!("{} sees {}\n", self.0, to.ip().to_canonical()).into_bytes()
    }

    /// Whom the listener saw; or who said something else.
    pub(super) fn read(&self, said: &[u8]) -> Result<IpAddr, String> {
        let said = String::from_utf8_lossy(said);
        let heard = said.trim_end().split_once(" sees ");
        match heard.and_then(|(who, whom)| Some((who, whom.parse().ok()?))) {
            Some((who, whom)) if who == self.0 => Ok(whom),
            Some((who, _)) => Err(who.trim_start_matches("netlab ").to_owned()),
            None => Err("something else".to_owned()),
        }
    }
}

impl Stands {
    /// Has somebody stand at every port of the rows.
    pub(super) async fn of(rows: &[Row]) -> Self {
        let mut stands = Self::default();
        let mut tables: BTreeMap<usize, Result<Vec<Socket>, String>> = BTreeMap::new();
        // Who wants the test's own program at a port wants no other listener beside it.
        let served: BTreeSet<_> = rows.iter().filter(|row| row.to.served).filter_map(port).collect();
        for row in rows {
            if let (Some(port), Some(key)) = (port(row), key(row))
                && !stands.by_key.contains_key(&key)
            {
                let node = &row.to.node;
                let table = tables
                    .entry(node.index())
                    .or_insert_with(|| node.sockets().map_err(|error| format!("{error:#}")));
                let stand = match table {
                    _ if served.contains(&port) => Ok(Stand::Theirs { node: node.clone(), port: port.2 }),
                    Ok(table) => stands.stand(node, key, table).map_err(|error| error.to_string()),
                    Err(problem) => Err(problem.clone()),
                };
                stands.by_key.insert(key, stand);
            }
        }
        stands
    }

    /// Ends the listeners, and waits until they are gone: the ports are free then.
    pub(super) async fn end(mut self) {
        self.listening.shutdown().await;
    }

    /// Who stands where a row leads.
    pub(super) fn at(&self, row: &Row) -> Result<Stand, String> {
        let stand = key(row).and_then(|key| self.by_key.get(&key).cloned());
        stand.unwrap_or_else(|| Err("nobody stands there".to_owned()))
    }

    fn stand(&mut self, node: &Node, key: Key, table: &[Socket]) -> io::Result<Stand> {
        let ((_, protocol, port), addr) = key;
        let own = Stand::Own(Greeting::of(node));
        let theirs = Stand::Theirs { node: node.clone(), port };
        // Whether a socket of `::` takes IPv4 as well, binding will tell.
        let listens = |socket: &Socket| {
            let on = socket.local.ip().to_canonical();
            socket.protocol == protocol
                && socket.listens()
                && socket.local.port() == port
                && on.is_ipv4() == addr.is_ipv4()
                && (on == addr || on.is_unspecified() || addr.is_unspecified())
        };
        if table.iter().any(listens) {
            return Ok(theirs);
        }
        // One listener for all addresses, unless the test has one of its own for another of them.
        let any = unspecified(addr);
        if self.by_key.contains_key(&(key.0, any)) {
            return Ok(own);
        }
        // An answer of UDP comes from the address that the socket is bound to, or else from the one that is best for the way back.
        let order = if protocol == Protocol::Udp { [addr, any] } else { [any, addr] };
        for on in order {
            match self.listen(node, protocol, SocketAddr::new(on, port)) {
                Ok(_) => {
                    self.by_key.insert((key.0, on), Ok(own.clone()));
                    return Ok(own);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Ok(theirs)
    }

    /// Listens in a node, and gives the port.
    pub(super) fn listen(&mut self, node: &Node, protocol: Protocol, on: SocketAddr) -> io::Result<u16> {
        let greeting = Greeting::of(node);
        let socket = make(node, || bind(protocol, on))?;
        match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::from_std(socket.into())?;
                let port = listener.local_addr()?.port();
                self.listening.spawn(serve_tcp(listener, greeting));
                Ok(port)
            }
            Protocol::Udp => {
                let socket = UdpSocket::from_std(socket.into())?;
                let port = socket.local_addr()?.port();
                self.listening.spawn(serve_udp(socket, greeting));
                Ok(port)
            }
        }
    }
}

/// A socket of the calling thread's node, of one IP version alone, which listens if it is of TCP.
fn bind(protocol: Protocol, on: SocketAddr) -> io::Result<OwnedFd> {
    let family = if on.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if on.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    // What a program left in `TIME_WAIT` is no obstacle, nor is a check's own listener at another address.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(on))?;
    if protocol == Protocol::Tcp {
        socket::listen(&socket, Backlog::MAXCONN)?;
    }
    Ok(socket)
}

/// The port that a row leads to in the end.
fn port(row: &Row) -> Option<Port> {
    match row.to.kind {
        Kind::Port(protocol, port) => Some((row.to.node.index(), protocol, port)),
        Kind::Icmp => None,
    }
}

/// What a row's listener is known by. Behind something else, it is not known which address is dialled in the end.
fn key(row: &Row) -> Option<Key> {
    let addr = row.at.as_ref().ok()?.ip();
    let its_own = row.to.node.addrs().contains(&addr);
    Some((port(row)?, if its_own { addr } else { unspecified(addr) }))
}

fn unspecified(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

async fn serve_tcp(listener: TcpListener, greeting: Greeting) {
    let mut connections = JoinSet::new();
    loop {
        // Who gave up before being accepted has seen its error itself.
        if let Ok((mut stream, peer)) = listener.accept().await {
            let line = greeting.line(peer);
            connections.spawn(async move {
                // Closed by a reset, it leaves nothing behind that would keep a program from the port afterwards.
                stream.set_zero_linger()?;
                stream.write_all(&line).await?;
                // Until whoever came is gone.
                stream.read_to_end(&mut Vec::new()).await
            });
        }
        while let Some(ended) = connections.try_join_next() {
            // By a reset, mostly.
            drop(ended);
        }
    }
}

async fn serve_udp(socket: UdpSocket, greeting: Greeting) {
    let mut buffer = [0; 512];
    loop {
        // What ICMP says to earlier answers is for those who asked to find out.
        if let Ok((_length, peer)) = socket.recv_from(&mut buffer).await {
            drop(socket.send_to(&greeting.line(peer), peer).await);
        }
    }
}
