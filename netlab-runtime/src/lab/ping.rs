//! ICMP echo through an ordinary socket, without a program.
//!
//! In the nodes of a lab everyone may have ICMP sockets. On the machine itself that is the owner's to say
//! (`net.ipv4.ping_group_range`), and where it is denied the socket is a raw one.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv, send,
    setsockopt, socket, sockopt,
};

use super::endpoint::{self, Destination};
use super::state::Entry;
use super::thread::detached;
use super::{LabError, Node};
use crate::settings;
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
    /// Multiplied by `NETLAB_TIMEOUT_SCALE`.
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
    let timeout = settings::scaled(timeout);
    entry.enter()?;
    let echo = Echo::open(to)?;
    let sent = Instant::now();
    echo.send()?;
    loop {
        let left = timeout.saturating_sub(sent.elapsed());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("nothing came back within {timeout:?}"),
            ));
        }
        match poll(
            &mut [PollFd::new(echo.socket.as_fd(), PollFlags::POLLIN)],
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut answer = [0; 128];
        match recv(echo.socket.as_raw_fd(), &mut answer, MsgFlags::empty()) {
            Ok(length) if echo.is_reply(&answer[..length]) => {
                return Ok(Reply { from: to, rtt: sent.elapsed() });
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A socket for one request and its reply.
struct Echo {
    socket: OwnedFd,
    /// It sees all of ICMP that comes from there, in IPv4 with the header, and fills nothing in.
    raw: bool,
    v4: bool,
    /// Ours, by which replies to others are told apart; an ICMP socket has its own.
    identifier: [u8; 2],
}

impl Echo {
    fn open(to: IpAddr) -> io::Result<Self> {
        let v4 = to.is_ipv4();
        let (socket, raw) = match open(v4, SockType::Datagram) {
            Err(Errno::EACCES | Errno::EPERM) => (open(v4, SockType::Raw)?, true),
            socket => (socket?, false),
        };
        // Without this a socket hears nothing of what routers and its own kernel report (`ping_err`).
        if v4 {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        connect(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(to, 0)))?;
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let identifier = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ok(Self { socket, raw, v4, identifier })
    }

    fn send(&self) -> Result<(), Errno> {
        // Type, code, checksum, identifier, sequence number; then what makes it 64 bytes.
        let mut message = [0; 64];
        message[0] = if self.v4 { ECHO.0 } else { ECHO_V6.0 };
        message[4..6].copy_from_slice(&self.identifier);
        message[7] = 1;
        // That of IPv6 covers addresses too, and is the kernel's to fill in (RFC 3542, section 3.1).
        if self.raw && self.v4 {
            let checksum = checksum(&message);
            message[2..4].copy_from_slice(&checksum);
        }
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty()).map(drop)
    }

    fn is_reply(&self, received: &[u8]) -> bool {
        let header = match received.first() {
            Some(first) if self.raw && self.v4 => usize::from(first & 0xf) * 4,
            _ => 0,
        };
        let Some(message) = received.get(header..).filter(|message| message.len() >= 8) else { return false };
        let kind = if self.v4 { ECHO.1 } else { ECHO_V6.1 };
        message[0] == kind && message[7] == 1 && (!self.raw || message[4..6] == self.identifier)
    }
}

/// The checksum of the internet (RFC 1071), as it is sent.
fn checksum(message: &[u8]) -> [u8; 2] {
    let words =
        message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn open(v4: bool, kind: SockType) -> Result<OwnedFd, Errno> {
    let (family, protocol) = if v4 {
        (AddressFamily::Inet, SockProtocol::Icmp)
    } else {
        (AddressFamily::Inet6, SockProtocol::IcmpV6)
    };
    socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_makes_the_whole_add_up_to_nothing() {
        let mut message = [8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xff, 0xff];
        let sum = checksum(&message);
        assert_ne!(sum, [0, 0]);
        message[2..4].copy_from_slice(&sum);
        assert_eq!(checksum(&message), [0, 0]);
    }
}
