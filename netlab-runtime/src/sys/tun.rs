//! Interfaces whose other end is a program (`/dev/net/tun`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `TUNSETIFF`, `IFF_TUN` and `IFF_NO_PI`, include/uapi/linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const IFF_TUN: libc::c_short = 0x0001;
const IFF_NO_PI: libc::c_short = 0x1000;

/// Makes one in the calling thread's network namespace, which goes at once.
///
/// # Errors
///
/// `ENOENT` without the device file; `EPERM` without `CAP_NET_ADMIN`, or where the container does not allow the device.
pub fn make() -> io::Result<()> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: `ifreq` is a plain C structure of integers, arrays and pointers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags = IFF_TUN | IFF_NO_PI;
    // SAFETY: `request` outlives the call, and is what TUNSETIFF expects.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
