//! How many echoes are lost.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::icmp::{reply, request};
use super::socket::{Carrier, Probe};
use crate::lab::expect::seen::{Miss, Seen};
use crate::lab::{Lab, Node};

/// Between requests: slower than any link that is worth measuring, so that no queue but the one under test overflows.
const PACE: Duration = Duration::from_millis(1);

/// Sends echo requests at a steady pace, waits `patience` for the last replies, and counts.
pub(in crate::lab::expect) async fn loss(
    lab: &Lab,
    from: &Node,
    to: IpAddr,
    probes: u32,
    patience: Duration,
) -> Seen {
    let Ok(probes) = u16::try_from(probes) else {
        return Miss::broken(format_args!("{probes} probes are more than the 65535 that ICMP can number"))
            .into();
    };
    let probe = match Probe::open(from, Carrier::Icmp, SocketAddr::new(to, 0), |_socket| Ok(())) {
        Ok(probe) => probe,
        Err(error) => return Miss::of(&error).into(),
    };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    let mut heard = HashSet::new();
    while sent < probes {
        tokio::select! {
            _now = pace.tick() => {
                sent += 1;
                if let Err(error) = probe.send(&request(to, sent, 64)) {
                    return probe.miss(lab, &error).into();
                }
            }
            sequence = reply(&probe, to) => match sequence {
                Ok(sequence) => drop(heard.insert(sequence)),
                Err(error) => return probe.miss(lab, &error).into(),
            }
        }
    }
    let deadline = Instant::now() + patience;
    while heard.len() < usize::from(sent) {
        match timeout_at(deadline, reply(&probe, to)).await {
            Ok(Ok(sequence)) => drop(heard.insert(sequence)),
            Ok(Err(error)) => return probe.miss(lab, &error).into(),
            Err(_elapsed) => break,
        }
    }
    Seen::Loss { sent: sent.into(), lost: u32::from(sent) - heard.len() as u32 }
}
