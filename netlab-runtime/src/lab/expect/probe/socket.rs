//! Sockets that hear what ICMP says of them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv, send,
    setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::errors;
use crate::lab::expect::seen::Miss;
use crate::lab::socket::make;
use crate::lab::{Lab, Node};
use crate::sys::readiness;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Tcp,
    Udp,
    Icmp,
}

/// A connected socket of a node, driven by the calling task's runtime.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) fd: AsyncFd<OwnedFd>,
}

impl Probe {
    /// Makes a socket in a node and connects it, which for TCP only begins.
    pub(super) fn open(
        node: &Node,
        carrier: Carrier,
        to: SocketAddr,
        prepare: impl FnOnce(&OwnedFd) -> io::Result<()> + Send,
    ) -> io::Result<Self> {
        if carrier == Carrier::Icmp {
            node.state().allow_ping(node.index())?;
        }
        let fd = make(node, || {
            let fd = new(carrier, to)?;
            prepare(&fd)?;
            match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
                Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
                Err(error) => Err(error.into()),
            }
        })?;
        Ok(Self { fd: readiness::watch(fd)? })
    }

    /// Waits for what is to be read, or an error.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |fd: &OwnedFd| Ok(recv(fd.as_raw_fd(), buffer, MsgFlags::empty())?);
        self.fd.async_io(Interest::READABLE | Interest::ERROR, read).await
    }

    /// Sends without waiting: what does not fit the socket's buffer is as good as lost.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match send(self.fd.get_ref().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What an error of this socket means, and whom ICMP has it from.
    pub(super) fn miss(&self, lab: &Lab, error: &io::Error) -> Miss {
        errors::explain(lab, self.fd.get_ref(), error)
    }
}

fn new(carrier: Carrier, to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, protocol) = match carrier {
        Carrier::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Carrier::Udp => (SockType::Datagram, SockProtocol::Udp),
        Carrier::Icmp if to.is_ipv4() => (SockType::Datagram, SockProtocol::Icmp),
        Carrier::Icmp => (SockType::Datagram, SockProtocol::IcmpV6),
    };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
    // Without this a socket hears little of what routers and its own kernel report, and not from whom (ip(7)).
    if to.is_ipv4() {
        setsockopt(&fd, sockopt::Ipv4RecvErr, &true)?;
    } else {
        setsockopt(&fd, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(fd)
}
