//! What came back.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use crate::servers::{Seen, SeenError};

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: String,
    /// Its fields in the order of their arrival, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// The address that answered.
    pub from: SocketAddr,
    /// The address that the request was sent from.
    pub local: SocketAddr,
}

impl Response {
    /// The first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// Its body as text; what is no UTF-8 is shown as `\u{fffd}`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// What an [identity server](crate::servers::identity) says.
    ///
    /// # Errors
    ///
    /// It is not from one.
    pub fn seen(&self) -> Result<Seen, SeenError> {
        self.text().parse()
    }
}

/// As it would be sent.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.protocol, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.text())
    }
}
