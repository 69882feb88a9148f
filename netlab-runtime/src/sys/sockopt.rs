//! Socket options that no safe wrapper has.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has a socket send whole packets only, whatever the kernel knows of the path: `IP_PMTUDISC_PROBE` (ip(7)), and for IPv6
/// also `IPV6_DONTFRAG`, without which the sender itself fragments (RFC 3542 section 11.2).
///
/// # Errors
///
/// The socket is none of the IP version.
pub fn probe_path_mtu(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    if v6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    }
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel reads `length` bytes of `value`, which outlives it.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
