//! ICMP echo through an ordinary socket: no program, no raw socket.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv, send,
    setsockopt, socket, sockopt,
};

use super::endpoint::{self, Destination};
use super::state::Entry;
use super::thread::detached;
use super::{LabError, Node};
use crate::sys::namespace;

/// The kernel gives an address up after three requests a second apart (`mcast_solicit`, `retrans_time_ms`), and says
/// *host unreachable* then; waiting a little longer tells that from silence.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Echo request and reply of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const ECHO: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// An ICMP echo request about to be sent: `.await` it, or call [`blocking`](Self::blocking).
#[must_use = "a ping does nothing until it is awaited, or `blocking` is called"]
#[derive(Debug)]
pub struct Ping {
    node: Node,
    to: Destination,
    timeout: Duration,
}

/// An echo that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Who answered.
    pub from: IpAddr,
    /// The time from sending the request to reading the reply.
    pub rtt: Duration,
}

/// A ping without a reply. Its source says why.
pub struct PingError {
    node: String,
    to: String,
    source: LabError,
    kind: io::ErrorKind,
}

impl Ping {
    pub(super) fn new(node: Node, to: Destination) -> Self {
        Self { node, to, timeout: TIMEOUT }
    }

    /// How long to wait for the reply, 4 seconds unless set: as long as the kernel takes to find that nobody has an address.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends the request and waits, blocking the calling thread.
    ///
    /// # Errors
    ///
    /// No reply came; see [`PingError::kind`].
    pub fn blocking(self) -> Result<Reply, PingError> {
        let Self { node, to, timeout } = &self;
        let reply = endpoint::resolve_blocking(node, to).and_then(|addrs| {
            let (entry, addr) = prepare(node, &addrs)?;
            namespace::on_thread(node.name(), || ping(&entry, addr, *timeout)).flatten()
        });
        reply.map_err(|error| self.error(error))
    }

    async fn run(self) -> Result<Reply, PingError> {
        let reply = async {
            let addrs = endpoint::resolve(&self.node, self.to.clone()).await?;
            let (entry, addr) = prepare(&self.node, &addrs)?;
            let timeout = self.timeout;
            detached(self.node.name(), move || ping(&entry, addr, timeout)).await
        };
        reply.await.map_err(|error| self.error(error))
    }

    fn error(&self, error: io::Error) -> PingError {
        let to = match &self.to {
            Destination::Addr(addr) => addr.to_string(),
            Destination::Name(name) => name.clone(),
        };
        let node = self.node.name().to_owned();
        PingError { kind: error.kind(), source: LabError::io(format!("ping {to}"), error), node, to }
    }
}

impl IntoFuture for Ping {
    type Output = Result<Reply, PingError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl PingError {
    /// Why there is no reply:
    ///
    /// - [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable): the node has no route there; known at once;
    /// - [`HostUnreachable`](io::ErrorKind::HostUnreachable): nobody on the last net has the address; a router says so at
    ///   once or after the three seconds that it asks, the node's own kernel after three;
    /// - [`TimedOut`](io::ErrorKind::TimedOut): the request or the reply was lost on the way;
    /// - anything else the system says.
    pub fn kind(&self) -> io::ErrorKind {
        self.kind
    }

    /// What the system said.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.source.io_error()
    }
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}`: no reply from `{}`", self.node, self.to)?;
        match StdError::source(self) {
            Some(source) if f.alternate() => write!(f, ": {source}"),
            _ => Ok(()),
        }
    }
}

/// With its cause: this is what a failed `unwrap` shows.
impl fmt::Debug for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for PingError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(&self.source)
    }
}

fn prepare(node: &Node, addrs: &[IpAddr]) -> io::Result<(Entry, IpAddr)> {
    let addr =
        addrs.first().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no addresses"))?;
    node.state().allow_ping(node.index())?;
    Ok((node.state().network_entry(node.index()), *addr))
}

/// One echo request, from the calling thread, which is a fresh one.
fn ping(entry: &Entry, to: IpAddr, timeout: Duration) -> io::Result<Reply> {
    entry.enter()?;
    let (socket, (request, reply)) = match to {
        IpAddr::V4(_) => {
            let socket = open(AddressFamily::Inet, SockProtocol::Icmp)?;
            // Without this a socket hears nothing of what routers and its own kernel report (`ping_err`).
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            (socket, ECHO)
        }
        IpAddr::V6(_) => {
            let socket = open(AddressFamily::Inet6, SockProtocol::IcmpV6)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            (socket, ECHO_V6)
        }
    };
    connect(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(to, 0)))?;
    let sent = Instant::now();
    // Type, code, checksum, identifier (the kernel fills both in), sequence number; then what makes it 64 bytes.
    let mut message = [0; 64];
    message[0] = request;
    message[7] = 1;
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    loop {
        let left = timeout.saturating_sub(sent.elapsed());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("nothing came back within {timeout:?}"),
            ));
        }
        match poll(
            &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut answer = [0; 128];
        match recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()) {
            Ok(length) if length >= 8 && answer[0] == reply && answer[7] == 1 => {
                return Ok(Reply { from: to, rtt: sent.elapsed() });
            }
            Ok(_) | Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(family: AddressFamily, protocol: SockProtocol) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?)
}
