//! TCP: a connection, and who is at its other end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getpeername, getsockopt, sockopt};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

use super::socket::{Carrier, Probe};
use crate::kernel::inspect::Protocol;
use crate::lab::expect::seen::{Miss, MissKind, Seen};
use crate::lab::expect::stand::{Greeting, Stand};
use crate::lab::{Lab, Node};

/// Opens a connection, and has who is there say whom it sees.
pub(in crate::lab::expect) async fn tcp(lab: &Lab, from: &Node, to: SocketAddr, stand: &Stand) -> Seen {
    let probe = match Probe::open(from, Carrier::Tcp, to, |_socket| Ok(())) {
        Ok(probe) => probe,
        Err(error) => return Miss::of(&error).into(),
    };
    if let Err(error) = connected(&probe).await {
        return probe.miss(lab, &error).into();
    }
    let greeted = match stand {
        Stand::Own(greeting) => greet(probe, greeting).await,
        Stand::Theirs { node, port } => theirs(probe, node, *port),
    };
    greeted.unwrap_or_else(|error| Miss::of(&error).into())
}

/// Waits until a connection came about, or its error is known.
async fn connected(probe: &Probe) -> io::Result<()> {
    let look = |fd: &OwnedFd| {
        let error = getsockopt(fd, sockopt::SocketError)?;
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        match getpeername::<SockaddrStorage>(fd.as_raw_fd()) {
            Ok(_) => Ok(()),
            Err(Errno::ENOTCONN) => Err(ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    };
    probe.fd.async_io(Interest::WRITABLE | Interest::ERROR, look).await
}

fn stream(probe: Probe) -> io::Result<TcpStream> {
    TcpStream::from_std(probe.fd.into_inner().into())
}

/// Reads what the check's own listener says to everyone who comes.
async fn greet(probe: Probe, greeting: &Greeting) -> io::Result<Seen> {
    let mut stream = stream(probe)?;
    // It is closed by a reset, which leaves nothing behind on either side.
    stream.set_zero_linger()?;
    let mut said = Vec::new();
    while !said.ends_with(b"\n") && said.len() < 256 {
        if stream.read_buf(&mut said).await? == 0 {
            break;
        }
    }
    Ok(match greeting.read(&said) {
        Ok(source) => Seen::Reached { source: Some(source) },
        Err(whom) => Miss::new(MissKind::Elsewhere(whom)).into(),
    })
}

/// Of somebody else's listener, the table of sockets shows whom it sees. Its source port is ours, unless NAT changed it.
fn theirs(probe: Probe, node: &Node, port: u16) -> io::Result<Seen> {
    let stream = stream(probe)?;
    let our_port = stream.local_addr()?.port();
    let sockets = node.sockets().map_err(io::Error::other)?;
    let source = sockets.into_iter().find_map(|socket| {
        let remote = socket.remote.filter(|remote| {
            socket.protocol == Protocol::Tcp && socket.local.port() == port && remote.port() == our_port
        })?;
        Some(remote.ip().to_canonical())
    });
    drop(stream);
    Ok(Seen::Reached { source })
}
