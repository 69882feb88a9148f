//! What a client saw of one request: the one thing that every check looks at.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One request, or one datagram, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The name of the client that sent it.
    pub client: String,
    /// Where it was sent from, as the client's own socket has it.
    pub source: SocketAddr,
    /// When it was sent, since the beginning of the load.
    pub sent: Duration,
    /// From sending it to the whole of the answer, or to the failure.
    pub took: Duration,
    /// Which connection it went by, where several requests share one.
    pub connection: u64,
    /// How much was sent and came back.
    pub bytes: Bytes,
    /// When the connection was closed by the other side, where that happened in the silence after this request: seen by loads
    /// that [pause](crate::Load::pause).
    pub closed: Option<Duration>,
    /// What came back.
    pub outcome: Result<Answer, Miss>,
}

/// What a request and its answer had of bytes, as the client's own socket takes and gives them: without the headers of TCP, UDP
/// and what is below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Of the request.
    pub asked: u64,
    /// That the answer was to have at least, as the load wanted it ([`Load::answers_of`](crate::Load::answers_of)).
    pub wanted: u64,
    /// That arrived of the answer, whether or not it became whole.
    pub arrived: u64,
}

/// An answer that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name of the backend that gave it.
    pub backend: String,
    /// Whom that backend saw.
    pub seen: SocketAddr,
    /// The cookie by which the balancer knew the client; on its first request the one that it gave it, if it did.
    pub cookie: Option<String>,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Miss {
    /// Nobody listens there (`ECONNREFUSED`).
    Refused,
    /// The connection was reset (`ECONNRESET`, `EPIPE`).
    Reset,
    /// The connection was closed before the answer was whole.
    Closed,
    /// Nothing was heard in time.
    TimedOut,
    /// There is no way there (`ENETUNREACH`, `EHOSTUNREACH`).
    Unreachable,
    /// The answer was not a success, but this status of HTTP.
    Status(u16),
    /// Anything else, as the system puts it.
    Other(String),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<&std::io::Error> for Miss {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Closed,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Self::Unreachable,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// What a balancer may know a client by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The address alone.
    Source,
    /// Address and port.
    SourceAndPort,
    /// The cookie it was given.
    Cookie,
    /// The connection.
    Connection,
}

/// The value of a [`Key`] in one observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyValue {
    /// An address.
    Source(IpAddr),
    /// Address and port.
    SourceAndPort(SocketAddr),
    /// A cookie.
    Cookie(String),
    /// A connection.
    Connection(u64),
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(addr) => write!(f, "{addr}"),
            Self::SourceAndPort(addr) => write!(f, "{addr}"),
            Self::Cookie(cookie) => write!(f, "cookie {cookie}"),
            Self::Connection(number) => write!(f, "connection {number}"),
        }
    }
}

impl Key {
    /// What it is, as a word of a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source address",
            Self::SourceAndPort => "source address and port",
            Self::Cookie => "cookie",
            Self::Connection => "connection",
        }
    }

    /// Its value; none for an observation that has no cookie.
    pub fn of(self, observation: &Observation) -> Option<KeyValue> {
        match self {
            Self::Source => Some(KeyValue::Source(observation.source.ip())),
            Self::SourceAndPort => Some(KeyValue::SourceAndPort(observation.source)),
            Self::Connection => Some(KeyValue::Connection(observation.connection)),
            Self::Cookie => {
                let answer = observation.outcome.as_ref().ok()?;
                answer.cookie.clone().map(KeyValue::Cookie)
            }
        }
    }
}

impl Observation {
    /// The backend that answered.
    pub fn backend(&self) -> Option<&str> {
        self.outcome.as_ref().ok().map(|answer| answer.backend.as_str())
    }

    /// When the answer, or the failure, was there.
    pub fn done(&self) -> Duration {
        self.sent + self.took
    }
}
