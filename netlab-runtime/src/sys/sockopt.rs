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

/// What the kernel takes to be the largest packet on a connected socket's path, in bytes: `IP_MTU`, `IPV6_MTU` (ip(7), ipv6(7)).
///
/// # Errors
///
/// The socket is none of the IP version, or is not connected.
pub fn path_mtu(socket: BorrowedFd<'_>, v6: bool) -> io::Result<u32> {
    let (level, option) =
        if v6 { (libc::IPPROTO_IPV6, libc::IPV6_MTU) } else { (libc::IPPROTO_IP, libc::IP_MTU) };
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `length` bytes to `value`, which outlives it.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { u32::try_from(value).map_err(io::Error::other) }
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel reads `length` bytes of `value`, which outlives it.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
