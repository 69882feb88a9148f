//! What a server is.

use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Connection;
use crate::kernel::inspect::Protocol;
use crate::lab::{Destination, LabError, Node, ToDestination};

/// What happens to one connection, or to one datagram. [`Node::serve`](crate::lab::Node::serve) does the rest: it listens, accepts, counts, and
/// obeys the controls of [`Serving`](super::Serving).
///
/// A server of your own needs what it listens on and one of the other two methods; the module's page has one.
pub trait Server: Send + Sync + 'static {
    /// What messages call it, as in `echo server`.
    fn kind(&self) -> &str;

    /// What it listens on.
    fn listen(&self) -> Vec<Listen>;

    /// Is called once, before it listens, with the node that it is to run on, which it must not keep: that would keep the lab alive.
    ///
    /// # Errors
    ///
    /// It cannot be served there.
    fn prepare(&self, node: &Node) -> Result<(), LabError> {
        let _nothing_is_needed = node;
        Ok(())
    }

    /// Serves one TCP connection. The connection is closed (FIN) when it is dropped.
    ///
    /// It runs on the node's own thread, as do those of all other connections: it must not block. An error is no failure of the
    /// test; [`Counters::failed`](super::Counters::failed) counts it.
    fn connection(
        self: Arc<Self>,
        connection: Connection,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static
    where
        Self: Sized,
    {
        drop(connection);
        ready(Ok(()))
    }

    /// Answers one datagram, or does not. The answer leaves from the address that the datagram was sent to.
    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        let _nobody_answers = datagram;
        None
    }

    /// The application protocols it speaks, best first, as TLS names them (ALPN, RFC 7301).
    fn protocols(&self) -> &[&str] {
        &[]
    }
}

/// A datagram that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// What it carries.
    pub data: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// Where it was sent to.
    pub local: SocketAddr,
}

/// What to listen on: a port, on all of the node's addresses, IPv4 and IPv6, or on one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub(super) protocol: Protocol,
    pub(super) on: Option<Destination>,
    pub(super) port: u16,
}

impl Listen {
    /// A TCP port; 0 is one that the kernel chooses.
    pub fn tcp(port: u16) -> Self {
        Self { protocol: Protocol::Tcp, on: None, port }
    }

    /// A UDP port; 0 is one that the kernel chooses.
    pub fn udp(port: u16) -> Self {
        Self { protocol: Protocol::Udp, on: None, port }
    }

    /// On one address only, rather than on all.
    pub fn on(self, addr: impl ToDestination) -> Self {
        Self { on: Some(addr.to_destination()), ..self }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, on, port } = self;
        match on {
            None => write!(f, "port {port}/{protocol}"),
            Some(Destination::Addr(addr)) => write!(f, "{}/{protocol}", SocketAddr::new(*addr, *port)),
            Some(Destination::Name(name)) => write!(f, "{name}:{port}/{protocol}"),
        }
    }
}
