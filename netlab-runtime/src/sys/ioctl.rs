//! Device requests that have no netlink form, or a dearer one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use netlab_topology::IfName;

/// `SIOCGSKNS`, `include/uapi/linux/sockios.h`.
const SIOCGSKNS: libc::Ioctl = 0x894C;
/// `SIOCETHTOOL`, `include/uapi/linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// `NS_GET_USERNS`, `include/uapi/linux/nsfs.h`: `_IO(0xb7, 1)`.
const NS_GET_USERNS: libc::Ioctl = 0xB701;

/// `ETHTOOL_STXCSUM`, `ETHTOOL_STSO`, `ETHTOOL_SGSO`, `include/uapi/linux/ethtool.h`.
const OFFLOADS: [u32; 3] = [0x17, 0x1f, 0x24];

/// `struct ethtool_value`, `include/uapi/linux/ethtool.h`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// The network namespace of a socket.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn socket_namespace(socket: impl AsFd) -> io::Result<OwnedFd> {
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; SIOCGSKNS takes no argument.
    let namespace = unsafe { libc::ioctl(socket, SIOCGSKNS) };
    if namespace < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(namespace) })
}

/// The user namespace that owns a namespace: who has capabilities there has them over it.
///
/// # Errors
///
/// `EPERM` if that is neither the caller's user namespace nor one made within it.
pub fn owner_of_namespace(namespace: impl AsFd) -> io::Result<OwnedFd> {
    let namespace = namespace.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; NS_GET_USERNS takes no argument.
    let owner = unsafe { libc::ioctl(namespace, NS_GET_USERNS) };
    if owner < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(owner) })
}

/// The number that a socket's network namespace has had to itself since the machine started (`SO_NETNS_COOKIE`), where
/// the kernel gives them: from Linux 5.14 on.
pub fn network_cookie(socket: impl AsFd) -> Option<u64> {
    /// `include/uapi/asm-generic/socket.h`.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the option's value is an integer of eight bytes, and its length says so.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(cookie)
}

/// Turns transmit checksum and segmentation offload of a device off, in the namespace of `socket`
/// (`ethtool -K DEVICE tx off tso off gso off`).
///
/// # Errors
///
/// `ENODEV` without such a device; `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn disable_offload(socket: impl AsFd, device: &IfName) -> io::Result<()> {
    for command in OFFLOADS {
        let mut value = EthtoolValue { command, data: 0 };
        // SAFETY: `ifreq` is a plain C structure of integers, arrays and pointers, for which zero is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(device.as_str().bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: `request` and the `value` it points to outlive the call, and are what SIOCETHTOOL expects
        // for these commands; an interface name leaves at least one NUL of the 16 bytes.
        if unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
