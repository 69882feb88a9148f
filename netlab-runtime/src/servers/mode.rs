//! How a server behaves at the moment.

use std::fmt;
use std::time::Duration;

/// How it serves those who are connected. One at a time: each replaces the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mode {
    /// As it should.
    Well,
    /// It accepts, reads nothing, and never answers.
    Hung,
    /// It takes this long for each answer.
    Slow(Duration),
    /// It reads and writes this many bytes a second on each connection, in each direction.
    Throttled(u64),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("serves as it should"),
            Self::Hung => f.write_str("hangs"),
            Self::Slow(delay) => write!(f, "takes {delay:?} for each answer"),
            Self::Throttled(rate) => write!(f, "reads and writes {rate} bytes a second"),
        }
    }
}

/// How to end what is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// FIN, as from a program that ends in order.
    Fin,
    /// RST, as from a program that is killed with work undone.
    Rst,
}
