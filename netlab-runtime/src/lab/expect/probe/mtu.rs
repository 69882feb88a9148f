//! The largest packet that gets through whole.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::errors::{self, by};
use super::icmp::{HEADER, reply, request};
use super::socket::{Carrier, Probe};
use crate::lab::expect::seen::{By, Miss, MissKind, Seen};
use crate::lab::{Lab, Node};
use crate::sys::sockopt;

/// What every link carries (RFC 791 section 3.2, RFC 8200 section 5), and what no packet exceeds.
const SMALLEST: u32 = 68;
const SMALLEST_V6: u32 = 1280;
const LARGEST: u32 = 65_535;

/// Headers of IPv4 without options, and of IPv6.
const IP: u32 = 20;
const IP_V6: u32 = 40;

/// How many sizes are tried at once.
const AT_ONCE: u32 = 8;

/// Finds the path MTU by echo requests that must not be fragmented (RFC 4821 does it likewise, with TCP), and looks at the one
/// that is expected first. `patience` is how long a request may go unanswered.
pub(in crate::lab::expect) async fn mtu(
    lab: &Lab,
    from: &Node,
    to: IpAddr,
    expected: u32,
    patience: Duration,
) -> Seen {
    let opened = Probe::open(from, Carrier::Icmp, SocketAddr::new(to, 0), |socket| {
        sockopt::probe_path_mtu(socket.as_fd(), to.is_ipv6())
    });
    let probe = match opened {
        Ok(probe) => probe,
        Err(error) => return Miss::of(&error).into(),
    };
    let smallest = if to.is_ipv4() { SMALLEST } else { SMALLEST_V6 };
    let mut search =
        Search { lab, probe, to, patience, sequence: 0, passes: 0, fails: LARGEST + 1, said_by: None };
    if let Err(miss) = search.try_sizes(&[smallest]).await {
        return miss.into();
    }
    if search.passes == 0 {
        return Miss::new(MissKind::TimedOut).into();
    }
    let mut sizes: Vec<u32> = vec![expected, expected.saturating_add(1)];
    while search.passes + 1 < search.fails {
        sizes.retain(|size| (search.passes + 1..search.fails).contains(size));
        if sizes.is_empty() {
            sizes = search.between();
        }
        if let Err(miss) = search.try_sizes(&std::mem::take(&mut sizes)).await {
            return miss.into();
        }
    }
    Seen::Mtu { bytes: search.passes, said_by: search.said_by }
}

struct Search<'a> {
    lab: &'a Lab,
    probe: Probe,
    to: IpAddr,
    patience: Duration,
    sequence: u16,
    /// The largest size known to pass, and the smallest known not to.
    passes: u32,
    fails: u32,
    said_by: Option<By>,
}

impl Search<'_> {
    /// Sizes spread over what is not known yet.
    fn between(&self) -> Vec<u32> {
        let (low, unknown) = (self.passes + 1, self.fails - self.passes - 1);
        let count = unknown.min(AT_ONCE);
        (0..count).map(|part| low + (unknown - 1) * part / count.saturating_sub(1).max(1)).collect()
    }

    /// Tries sizes in ascending order, all at once, and narrows the search down.
    async fn try_sizes(&mut self, sizes: &[u32]) -> Result<(), Miss> {
        let first = self.sequence.wrapping_add(1);
        let mut heard = HashSet::new();
        let mut awaited = 0;
        for &size in sizes {
            self.sequence = self.sequence.wrapping_add(1);
            let header = if self.to.is_ipv4() { IP } else { IP_V6 };
            let length = size.saturating_sub(header) as usize;
            match self.probe.send(&request(self.to, self.sequence, length.max(HEADER))) {
                Ok(()) => awaited += 1,
                Err(error) => {
                    let miss = self.told(&error)?;
                    // What the node's own interface does not take needs no waiting for.
                    if miss.said_by.is_none() {
                        self.fails = self.fails.min(size);
                        break;
                    }
                    awaited += 1;
                }
            }
        }
        let deadline = Instant::now() + self.patience;
        while heard.len() < awaited {
            match timeout_at(deadline, reply(&self.probe, self.to)).await {
                Ok(Ok(sequence)) => drop(heard.insert(sequence)),
                // Nothing larger than what is told gets through: there is nothing more to wait for but what is smaller.
                Ok(Err(error)) => {
                    self.told(&error)?;
                    let still = sizes[..awaited].iter().filter(|size| **size < self.fails).count();
                    awaited = awaited.min(still);
                }
                Err(_elapsed) => break,
            }
        }
        for (index, &size) in sizes.iter().enumerate() {
            if heard.contains(&first.wrapping_add(index as u16)) {
                self.passes = self.passes.max(size);
            }
        }
        // What was answered by nothing is too large: at this pace no other reason is left.
        let silent = sizes.iter().copied().find(|&size| size > self.passes);
        self.fails = self.fails.min(silent.unwrap_or(LARGEST + 1)).max(self.passes + 1);
        Ok(())
    }

    /// What an error tells of the size, or else why there is nothing to be found.
    fn told(&mut self, error: &std::io::Error) -> Result<Miss, Miss> {
        let mut miss = Miss::of(error);
        while let Some(told) = errors::next(self.probe.fd.get_ref()) {
            if let (Some(mtu), Some(addr)) = (told.mtu, told.said_by) {
                self.fails = self.fails.min(mtu + 1);
                self.said_by = Some(by(self.lab, addr));
                miss.said_by = Some(addr);
                miss.kind = MissKind::TooBig;
            }
        }
        if miss.kind == MissKind::TooBig { Ok(miss) } else { Err(miss) }
    }
}
