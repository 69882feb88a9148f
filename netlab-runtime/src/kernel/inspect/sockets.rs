//! TCP and UDP sockets (`SOCK_DIAG_BY_FAMILY`, sock_diag(7)).

use std::fmt;
use std::io;
use std::net::SocketAddr;

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};

use crate::kernel::NetlinkSocket;

/// A TCP or UDP socket as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Socket {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Its state. A UDP socket is [`Established`](SocketState::Established) when it is connected, else
    /// [`Close`](SocketState::Close).
    pub state: SocketState,
    /// Its own address and port.
    pub local: SocketAddr,
    /// Whom it is connected to.
    pub remote: Option<SocketAddr>,
    /// Its inode, by which `/proc/PID/fd` shows whose it is; 0 if it is no process's any more.
    pub inode: u32,
    /// The user who made it.
    pub uid: u32,
    /// Bytes that have come and were not read; of a listening socket, connections that were not accepted.
    pub receive_queue: u32,
    /// Bytes that were sent and not acknowledged; of a listening socket, the most connections that may queue.
    pub send_queue: u32,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// State of a socket (`include/net/tcp_states.h`), by the names of `ss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketState {
    /// Connected.
    Established,
    /// Asked for a connection.
    SynSent,
    /// Was asked for one.
    SynReceived,
    /// Has said its last.
    FinWait1,
    /// Has said its last, and that was acknowledged.
    FinWait2,
    /// Closed, and waiting for stragglers.
    TimeWait,
    /// Not in any connection: a UDP socket that is not connected.
    Close,
    /// The other side has said its last.
    CloseWait,
    /// Both have said their last.
    LastAck,
    /// Listens.
    Listen,
    /// Both said their last at once.
    Closing,
    /// Anything else.
    Other(u8),
}

impl From<u8> for SocketState {
    fn from(state: u8) -> Self {
        match state {
            1 => Self::Established,
            2 => Self::SynSent,
            // 12 is a request that is not a socket yet (`TCP_NEW_SYN_RECV`).
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for SocketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Established => "ESTAB",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECV",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::TimeWait => "TIME-WAIT",
            Self::Close => "UNCONN",
            Self::CloseWait => "CLOSE-WAIT",
            Self::LastAck => "LAST-ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::Other(_) => "?",
        })
    }
}

impl Socket {
    /// Whether it takes what comes to its port from anybody: a listening TCP socket, or a UDP socket that is not connected.
    pub fn listens(&self) -> bool {
        match self.protocol {
            Protocol::Tcp => self.state == SocketState::Listen,
            Protocol::Udp => self.remote.is_none(),
        }
    }
}

/// As `ss -tuan`.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, state, local, remote, receive_queue, send_queue, .. } = self;
        write!(f, "{protocol} {state} {receive_queue} {send_queue} {local} ")?;
        match remote {
            Some(remote) => write!(f, "{remote}"),
            None => f.write_str("*"),
        }
    }
}

/// The TCP and UDP sockets of the socket's namespace, IPv4 and IPv6, TCP first, by port.
pub(crate) fn sockets(socket: &mut NetlinkSocket) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for family in [AF_INET, AF_INET6] {
            let answers = match socket.dump(|| request(protocol, family)) {
                // A kernel without IPv6.
                Err(error) if family == AF_INET6 && error.raw_os_error() == Some(libc::ENOENT) => continue,
                answers => answers?,
            };
            sockets.extend(answers.into_iter().filter_map(|answer| match answer {
                SockDiagMessage::InetResponse(answer) => Some(read(protocol, &answer.header)),
                _ => None,
            }));
        }
    }
    sockets.sort_by_key(|socket: &Socket| {
        (socket.protocol, socket.local.port(), socket.local.ip(), socket.inode)
    });
    Ok(sockets)
}

fn request(protocol: Protocol, family: u8) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: match protocol {
            Protocol::Tcp => IPPROTO_TCP,
            Protocol::Udp => IPPROTO_UDP,
        },
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        // Not looked at when all are asked for.
        socket_id: SocketId::new_v4(),
    })
}

fn read(protocol: Protocol, header: &InetResponseHeader) -> Socket {
    let id = &header.socket_id;
    let remote = SocketAddr::new(id.destination_address, id.destination_port);
    Socket {
        protocol,
        state: header.state.into(),
        local: SocketAddr::new(id.source_address, id.source_port),
        remote: (remote.port() != 0 || !remote.ip().is_unspecified()).then_some(remote),
        inode: header.inode,
        uid: header.uid,
        receive_queue: header.recv_queue,
        send_queue: header.send_queue,
    }
}
