//! Descriptors that a runtime waits for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the calling task's runtime tell when a descriptor can be read or written, or has an error: ICMP makes a socket
/// neither readable nor writable.
///
/// # Errors
///
/// The descriptor is none that can be waited for.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
    // SAFETY: an `OwnedFd` is the same open descriptor as long as it lives, and `AsyncFd` gives out only shared references to
    // it until it has deregistered it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    Ok(watched?)
}
