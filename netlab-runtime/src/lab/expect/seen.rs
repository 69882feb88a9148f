//! What came of a probe.

use std::fmt;
use std::io;
use std::net::IpAddr;

use crate::kernel::write_lower;

/// What came of probing one expectation.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It was reached; whom the target saw, if it could be asked.
    Reached { source: Option<IpAddr> },
    /// It was not; `before` is what it said before it fell silent.
    Missed { miss: Miss, before: Option<Miss> },
    /// Echoes counted.
    Loss { sent: u32, lost: u32 },
    /// The largest packet that came through, and who said that larger ones do not.
    Mtu { bytes: u32, said_by: Option<By> },
}

/// Why something was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Miss {
    /// What happened.
    pub kind: MissKind,
    /// Who sent the ICMP error that says so, if one did.
    pub said_by: Option<IpAddr>,
    /// The name of that node.
    pub node: Option<String>,
}

/// What happened to a probe that did not reach its target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissKind {
    /// Nobody listens, or a firewall rejects: a TCP reset, or ICMP *port unreachable*.
    Refused,
    /// There is no route, in the node itself or in a router.
    NoRoute,
    /// Nobody has the address: ARP or neighbour discovery had no answer.
    HostUnreachable,
    /// A firewall says so: ICMP *administratively prohibited*, or a rule of the node itself.
    Prohibited,
    /// Too large for the path.
    TooBig,
    /// Nothing came back.
    TimedOut,
    /// A connection was made and reset.
    Reset,
    /// Somebody else was reached.
    Elsewhere(String),
    /// The probe could not be made, which says nothing of the network.
    Broken(String),
}

/// Who sent an ICMP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct By {
    pub(super) addr: IpAddr,
    pub(super) node: Option<String>,
}

impl Miss {
    pub(super) fn new(kind: MissKind) -> Self {
        Self { kind, said_by: None, node: None }
    }

    pub(super) fn broken(error: impl fmt::Display) -> Self {
        Self::new(MissKind::Broken(error.to_string()))
    }

    /// What an error of a socket means.
    pub(super) fn of(error: &io::Error) -> Self {
        Self::new(match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => MissKind::Refused,
            Some(libc::ENETUNREACH) => MissKind::NoRoute,
            Some(libc::EHOSTUNREACH) => MissKind::HostUnreachable,
            // `EPERM` is what a rule in the chain `output` gives the sender.
            Some(libc::EACCES | libc::EPERM) => MissKind::Prohibited,
            Some(libc::EMSGSIZE) => MissKind::TooBig,
            Some(libc::ECONNRESET | libc::EPIPE) => MissKind::Reset,
            Some(libc::ETIMEDOUT) => MissKind::TimedOut,
            _ if error.kind() == io::ErrorKind::TimedOut => MissKind::TimedOut,
            _ if error.kind() == io::ErrorKind::UnexpectedEof => MissKind::Reset,
            _ => MissKind::Broken(Lower(error).to_string()),
        })
    }

    /// Whether it says something of the network, if only by silence.
    pub(super) fn is_an_answer(&self) -> bool {
        !matches!(self.kind, MissKind::Broken(_))
    }

    pub(super) fn is_silence(&self) -> bool {
        self.kind == MissKind::TimedOut
    }
}

impl From<Miss> for Seen {
    fn from(miss: Miss) -> Self {
        Self::Missed { miss, before: None }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached { source: None } => f.write_str("reached"),
            Self::Reached { source: Some(source) } => write!(f, "reached, from {source}"),
            Self::Missed { miss, before: None } => write!(f, "{miss}"),
            Self::Missed { miss, before: Some(before) } => write!(f, "{before}, then {miss}"),
            Self::Loss { sent, lost } => {
                let share = f64::from(*lost) * 100.0 / f64::from((*sent).max(1));
                write!(f, "{share:.1} % lost ({lost} of {sent})")
            }
            Self::Mtu { bytes, said_by: None } => write!(f, "path MTU {bytes}"),
            Self::Mtu { bytes, said_by: Some(by) } => write!(f, "path MTU {bytes} (says {by})"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match self.said_by {
            Some(addr) => write!(f, " (says {})", By { addr, node: self.node.clone() }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for MissKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::NoRoute => f.write_str("no route"),
            Self::HostUnreachable => f.write_str("host unreachable"),
            Self::Prohibited => f.write_str("prohibited"),
            Self::TooBig => f.write_str("too big"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Reset => f.write_str("reset"),
            Self::Elsewhere(whom) => write!(f, "reached {whom} instead"),
            Self::Broken(problem) => write!(f, "could not be probed: {problem}"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node}, {}", self.addr),
            None => write!(f, "{}", self.addr),
        }
    }
}

struct Lower<'a>(&'a io::Error);

impl fmt::Display for Lower<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lower(f, self.0)
    }
}
