//! Sockets to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::kernel::inspect::Protocol;

/// Connections that wait to be accepted: as many as `net.core.somaxconn` allows unless somebody changed it.
const BACKLOG: i32 = 4096;

/// Makes a socket in the calling thread's node, bound, and listening if it is TCP's. Without an address it is bound to all, of both
/// families.
pub(super) fn bind(protocol: Protocol, on: Option<IpAddr>, port: u16) -> io::Result<Socket> {
    let any = |addr: IpAddr| open(protocol, SocketAddr::new(addr, port));
    match on {
        Some(addr) => any(addr),
        None => any(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.raw_os_error() {
            // A kernel without IPv6.
            Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => any(Ipv4Addr::UNSPECIFIED.into()),
            _ => Err(error),
        }),
    }
}

fn open(protocol: Protocol, addr: SocketAddr) -> io::Result<Socket> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (Type::STREAM, socket2::Protocol::TCP),
        Protocol::Udp => (Type::DGRAM, socket2::Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(addr), kind.nonblocking().cloexec(), Some(number))?;
    if addr.is_ipv6() {
        // Its default is a sysctl (`net.ipv6.bindv6only`), and `::` means both families here.
        socket.set_only_v6(false)?;
    }
    match protocol {
        // Else connections in TIME_WAIT keep a server from coming back.
        Protocol::Tcp => socket.set_reuse_address(true)?,
        // An answer is to leave from the address that was asked, of which a node may have several.
        Protocol::Udp if addr.is_ipv6() => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        Protocol::Udp => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
    }
    socket.bind(&addr.into())?;
    if protocol == Protocol::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}
