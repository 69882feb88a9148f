//! The ground that undos stand on: a namespace with a socket, and ways into others.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::kernel::NetlinkSocket;
use crate::sys::namespace;

/// The machine's network namespace, which the calling thread is in.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) net: OwnedFd,
    pub(super) socket: NetlinkSocket,
}

impl Ground {
    /// The calling thread's.
    pub(super) fn here() -> io::Result<Self> {
        Ok(Self { net: namespace::current_net()?, socket: NetlinkSocket::open(NETLINK_ROUTE)? })
    }
}

/// Runs `work` in a network namespace, on a thread that ends there.
pub(super) fn inside<T: Send>(
    net: BorrowedFd<'_>,
    work: impl FnOnce(&mut Ground) -> io::Result<T> + Send,
) -> io::Result<T> {
    namespace::on_thread("netlab-machine", || {
        namespace::enter_net(net.as_fd())?;
        work(&mut Ground::here()?)
    })?
}
