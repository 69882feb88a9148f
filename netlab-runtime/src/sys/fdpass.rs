//! Descriptors sent through a socket (`SCM_RIGHTS`, unix(7)).

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// The most descriptors that one message carries (`SCM_MAX_FD`, include/net/scm.h).
pub const MAX: usize = 253;

/// Sends a message, with at most [`MAX`] descriptors.
///
/// # Errors
///
/// What `sendmsg` says.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives a message into `buffer` without waiting: its length and its descriptors. A length of 0 is the end.
///
/// # Errors
///
/// What `recvmsg` says; `EAGAIN` when there is nothing. Descriptors beyond this process's limit are lost, and
/// that is no error.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    // Room for one header and its descriptors, aligned as a header must be.
    let mut space = [0_u64; 16 + MAX.div_ceil(2)];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a header of nulls and zeros is a valid one.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = space.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&space) as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the header points to two live buffers and says their lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let length = Errno::result(length)?.unsigned_abs();
    Ok((length, rights(&header)))
}

/// Takes the descriptors out of a message, also of one that was cut short, whose others would leak.
fn rights(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the header is as `recvmsg` left it.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: the macro gives null or a whole header within the buffer.
    while let Some(control) = unsafe { next.as_ref() } {
        if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: no more than arithmetic on the pointer.
            let data = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
            // SAFETY: no more than arithmetic.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "musl has another type there")]
            let count = (control.cmsg_len as usize).saturating_sub(empty) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: within what the header says it holds.
                let place = unsafe { data.add(index) };
                // SAFETY: as above; the data need not be aligned.
                let number = unsafe { place.read_unaligned() };
                // SAFETY: the kernel has just made this descriptor, for us.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::os::fd::AsFd;

    #[test]
    fn as_many_descriptors_as_fit_arrive() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let many = vec![ours.as_fd(); MAX];
        send(ours.as_fd(), b"x", &many).unwrap();
        send(ours.as_fd(), b"none", &[]).unwrap();
        let mut buffer = [0; 16];
        let (length, descriptors) = receive(theirs.as_fd(), &mut buffer).unwrap();
        assert_eq!((length, descriptors.len()), (1, MAX));
        drop(descriptors);
        let (length, descriptors) = receive(theirs.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..length], descriptors.len()), (&b"none"[..], 0));
        assert_eq!(receive(theirs.as_fd(), &mut buffer).unwrap_err(), Errno::EAGAIN);
        drop(many);
        drop(ours);
        assert!(receive(theirs.as_fd(), &mut buffer).is_ok_and(|(length, _)| length == 0));
    }
}
