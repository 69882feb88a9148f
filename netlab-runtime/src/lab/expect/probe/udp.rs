//! UDP: a datagram and its answer.

use std::net::SocketAddr;
use std::time::Duration;

use super::socket::{Carrier, Probe};
use crate::lab::expect::seen::{Miss, MissKind, Seen};
use crate::lab::expect::stand::Stand;
use crate::lab::{Lab, Node};

/// Datagrams get lost; nobody but the sender sends them again.
const AGAIN: Duration = Duration::from_secs(1);

/// Sends a datagram, and has who is there say whom it sees. Of somebody else's program, any answer counts.
pub(in crate::lab::expect) async fn udp(lab: &Lab, from: &Node, to: SocketAddr, stand: &Stand) -> Seen {
    let probe = match Probe::open(from, Carrier::Udp, to, |_socket| Ok(())) {
        Ok(probe) => probe,
        Err(error) => return Miss::of(&error).into(),
    };
    let mut said = [0; 512];
    let length = loop {
        if let Err(error) = probe.send(b"netlab?\n") {
            return probe.miss(lab, &error).into();
        }
        match tokio::time::timeout(AGAIN, probe.receive(&mut said)).await {
            Ok(Ok(length)) => break length,
            Ok(Err(error)) => return probe.miss(lab, &error).into(),
            Err(_elapsed) => {}
        }
    };
    match stand {
        Stand::Theirs { .. } => Seen::Reached { source: None },
        Stand::Own(greeting) => match greeting.read(&said[..length]) {
            Ok(source) => Seen::Reached { source: Some(source) },
            Err(whom) => Miss::new(MissKind::Elsewhere(whom)).into(),
        },
    }
}
