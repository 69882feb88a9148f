//! ICMP errors, and whom they come from: the error queue of a socket (ip(7), `IP_RECVERR`).

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use crate::lab::Lab;
use crate::lab::expect::seen::{By, Miss, MissKind};

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6`, `include/uapi/linux/errqueue.h`.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Types of ICMP errors (RFC 792, RFC 4443 section 3.1).
const UNREACHABLE: u8 = 3;
const UNREACHABLE_V6: u8 = 1;

/// An ICMP error as the kernel queues it.
#[derive(Debug)]
pub(super) struct IcmpError {
    pub(super) said_by: Option<IpAddr>,
    /// The MTU that it tells of, where it is about that.
    pub(super) mtu: Option<u32>,
    kind: Option<MissKind>,
}

/// What an error of a socket means, and whom ICMP has it from.
pub(super) fn explain(lab: &Lab, fd: &OwnedFd, error: &io::Error) -> Miss {
    let mut miss = Miss::of(error);
    if let Some(told) = next(fd) {
        miss.kind = told.kind.unwrap_or(miss.kind);
        miss.said_by = told.said_by;
        miss.node = told.said_by.and_then(|addr| owner(lab, addr));
    }
    miss
}

/// Whose an address is.
pub(super) fn owner(lab: &Lab, addr: IpAddr) -> Option<String> {
    lab.nodes().into_iter().find(|node| node.addrs().contains(&addr)).map(|node| node.name().to_owned())
}

pub(super) fn by(lab: &Lab, addr: IpAddr) -> By {
    By { addr, node: owner(lab, addr) }
}

/// The next ICMP error in the queue of a socket.
pub(super) fn next(fd: &OwnedFd) -> Option<IcmpError> {
    let mut sent = [0; 64];
    let mut buffers = [IoSliceMut::new(&mut sent)];
    let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    // An empty queue is `EAGAIN`; nothing else that can go wrong here would say more than the error at hand.
    let message = recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut buffers, Some(&mut space), flags).ok()?;
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, from) if error.ee_origin == ORIGIN_ICMP => {
            let addr = from.map(|from| u32::from_be(from.sin_addr.s_addr).to_be_bytes().into());
            Some(IcmpError { said_by: addr, mtu: mtu(&error), kind: kind_v4(error.ee_type, error.ee_code) })
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) if error.ee_origin == ORIGIN_ICMP6 => {
            let addr = from.map(|from| from.sin6_addr.s6_addr.into());
            Some(IcmpError { said_by: addr, mtu: mtu(&error), kind: kind_v6(error.ee_type, error.ee_code) })
        }
        _ => None,
    })
}

fn mtu(error: &libc::sock_extended_err) -> Option<u32> {
    (error.ee_errno.cast_signed() == libc::EMSGSIZE && error.ee_info > 0).then_some(error.ee_info)
}

/// RFC 792, RFC 1812 section 5.2.7.1.
fn kind_v4(kind: u8, code: u8) -> Option<MissKind> {
    match (kind, code) {
        (UNREACHABLE, 0 | 5 | 6 | 11) => Some(MissKind::NoRoute),
        (UNREACHABLE, 1 | 7 | 12) => Some(MissKind::HostUnreachable),
        (UNREACHABLE, 2 | 3) => Some(MissKind::Refused),
        (UNREACHABLE, 4) => Some(MissKind::TooBig),
        (UNREACHABLE, 9 | 10 | 13) => Some(MissKind::Prohibited),
        _ => None,
    }
}

/// RFC 4443 section 3.1; packet too big is type 2.
fn kind_v6(kind: u8, code: u8) -> Option<MissKind> {
    match (kind, code) {
        (UNREACHABLE_V6, 0 | 2) => Some(MissKind::NoRoute),
        (UNREACHABLE_V6, 1 | 5 | 6) => Some(MissKind::Prohibited),
        (UNREACHABLE_V6, 3) => Some(MissKind::HostUnreachable),
        (UNREACHABLE_V6, 4) => Some(MissKind::Refused),
        (2, _) => Some(MissKind::TooBig),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_both_versions_mean_the_same() {
        for (v4, v6, meaning) in [
            (0, 0, MissKind::NoRoute),
            (1, 3, MissKind::HostUnreachable),
            (3, 4, MissKind::Refused),
            (10, 1, MissKind::Prohibited),
            (13, 5, MissKind::Prohibited),
        ] {
            assert_eq!(kind_v4(UNREACHABLE, v4), Some(meaning.clone()), "{v4}");
            assert_eq!(kind_v6(UNREACHABLE_V6, v6), Some(meaning), "{v6}");
        }
        assert_eq!(
            (kind_v4(UNREACHABLE, 4), kind_v6(2, 0)),
            (Some(MissKind::TooBig), Some(MissKind::TooBig))
        );
        assert_eq!(
            (kind_v4(11, 0), kind_v6(3, 0)),
            (None, None),
            "time exceeded is told by the error itself"
        );
    }

    #[test]
    fn errors_of_sockets_are_told_apart() {
        let kind = |errno| Miss::of(&io::Error::from_raw_os_error(errno)).kind;
        assert_eq!(kind(libc::ECONNREFUSED), MissKind::Refused);
        assert_eq!(kind(libc::EPERM), MissKind::Prohibited);
        assert_eq!(kind(libc::ECONNRESET), MissKind::Reset);
        let odd = kind(libc::EAFNOSUPPORT);
        assert_eq!(
            odd.to_string(),
            "could not be probed: address family not supported by protocol (os error 97)"
        );
    }
}
