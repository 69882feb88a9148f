//! ICMP echo.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::socket::{Carrier, Probe};
use crate::lab::expect::seen::{Miss, Seen};
use crate::lab::{Lab, Node};

/// Echo request and reply of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const ECHO: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// Requests get lost; nobody but the sender sends them again.
const AGAIN: Duration = Duration::from_secs(1);

/// Type, code, checksum, identifier, sequence number. The kernel fills in checksum and identifier.
pub(super) const HEADER: usize = 8;

/// Sends an echo request, and waits for the reply.
pub(in crate::lab::expect) async fn echo(lab: &Lab, from: &Node, to: IpAddr) -> Seen {
    let probe = match Probe::open(from, Carrier::Icmp, SocketAddr::new(to, 0), |_socket| Ok(())) {
        Ok(probe) => probe,
        Err(error) => return Miss::of(&error).into(),
    };
    for sequence in 1.. {
        if let Err(error) = probe.send(&request(to, sequence, 64)) {
            return probe.miss(lab, &error).into();
        }
        match tokio::time::timeout(AGAIN, reply(&probe, to)).await {
            Ok(Ok(_any)) => break,
            Ok(Err(error)) => return probe.miss(lab, &error).into(),
            Err(_elapsed) => {}
        }
    }
    Seen::Reached { source: None }
}

/// An echo request of `length` bytes, the ICMP header included.
pub(super) fn request(to: IpAddr, sequence: u16, length: usize) -> Vec<u8> {
    let mut message = vec![0; length.max(HEADER)];
    message[0] = if to.is_ipv4() { ECHO.0 } else { ECHO_V6.0 };
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message
}

/// Waits for an echo reply, and gives its sequence number.
pub(super) async fn reply(probe: &Probe, to: IpAddr) -> io::Result<u16> {
    let wanted = if to.is_ipv4() { ECHO.1 } else { ECHO_V6.1 };
    // The sequence number is all that is wanted: the rest is cut off.
    let mut answer = [0; HEADER];
    loop {
        let length = probe.receive(&mut answer).await?;
        if length >= HEADER && answer[0] == wanted {
            return Ok(u16::from_be_bytes([answer[6], answer[7]]));
        }
    }
}
