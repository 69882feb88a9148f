//! One expectation.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::seen::Seen;
use super::service::Service;
use crate::lab::Node;

/// One thing that was said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) from: Node,
    pub(super) to: Service,
    pub(super) expected: Expected,
}

/// What is to be seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Reached,
    /// As [`Reached`](Self::Reached), and what makes a negative expectation worth something.
    Control,
    NotReached,
    Source(IpAddr),
    Loss {
        bounds: RangeInclusive<f64>,
        probes: u32,
    },
    Mtu(u32),
}

impl Expected {
    /// Whether it is what was seen.
    pub(super) fn holds(&self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::Reached | Self::Control, Seen::Reached { .. }) => true,
            (Self::NotReached, Seen::Missed { miss, .. }) => miss.is_an_answer(),
            (Self::Source(expected), Seen::Reached { source: Some(seen) }) => expected == seen,
            (Self::Loss { bounds, .. }, Seen::Loss { sent, lost }) => {
                *sent > 0 && bounds.contains(&(f64::from(*lost) / f64::from(*sent)))
            }
            (Self::Mtu(expected), Seen::Mtu { bytes, .. }) => expected == bytes,
            _ => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("reached"),
            Self::Control => f.write_str("reached (control)"),
            Self::NotReached => f.write_str("not reached"),
            Self::Source(addr) => write!(f, "from {addr}"),
            Self::Loss { bounds, probes } => {
                let (low, high) = (bounds.start() * 100.0, bounds.end() * 100.0);
                write!(f, "{low:.1} to {high:.1} % of {probes} lost")
            }
            Self::Mtu(bytes) => write!(f, "path MTU {bytes}"),
        }
    }
}
