//! Which machine it is: a network namespace, and the boot that it is of.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};

use crate::kernel::NetlinkSocket;
use crate::sys::{ioctl, namespace};

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MachineId {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Inode numbers are used again as soon as they are free; this number never is, where there is one.
    pub(super) cookie: Option<u64>,
}

impl MachineId {
    /// The calling thread's network namespace.
    pub(super) fn here() -> io::Result<Self> {
        let net = namespace::current_net()?;
        Self::of(net.as_fd(), &NetlinkSocket::open(NETLINK_ROUTE)?)
    }

    /// A namespace, with a socket that is in it.
    pub(super) fn of(net: BorrowedFd<'_>, socket: &NetlinkSocket) -> io::Result<Self> {
        let stat = fstat(net)?;
        #[allow(clippy::useless_conversion, reason = "other architectures have other types there")]
        Ok(Self {
            device: stat.st_dev.into(),
            inode: stat.st_ino.into(),
            cookie: ioctl::network_cookie(socket),
        })
    }
}

/// The number of this boot, which is another after every start of the machine (random(4)).
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// For how long the machine has been up, in seconds, sleep included (proc_uptime(5)).
pub(super) fn uptime() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split('.').next().and_then(|whole| whole.parse().ok());
    seconds.ok_or_else(|| io::Error::other(format!("`/proc/uptime` is not understood: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_has_one_identity() {
        let here = MachineId::here().unwrap();
        let there = namespace::on_thread("same", MachineId::here).unwrap().unwrap();
        assert_eq!(here, there);
        assert!(uptime().unwrap() > 0);
        assert_eq!(boot().unwrap().len(), 36);
    }
}
