//! Descriptors that stand for a process (pidfd_open(2), Linux 5.3): they become readable at its end, and never come to
//! mean another.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A descriptor of a child that was not reaped yet.
///
/// # Errors
///
/// `ESRCH` without such a process; `EMFILE` at the limit of descriptors.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nothing else knows it; descriptors fit.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
