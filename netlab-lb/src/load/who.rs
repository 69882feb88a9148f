//! A backend that says who it is, over TCP and UDP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use netlab_runtime::servers::{Connection, Datagram, Listen, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::proxy;

/// A server that answers every line of TCP, and every datagram, with a line that says who it is and whom it saw:
/// `web1 192.0.2.10:41000`.
#[derive(Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct Who {
    port: u16,
    name: String,
    proxy_protocol: bool,
}

/// A [`Who`] of this name, on a port of TCP and UDP. By convention the name is the node's.
pub fn who(port: u16, name: impl Into<String>) -> Who {
    Who { port, name: name.into(), proxy_protocol: false }
}

impl Who {
    /// Expects a header of the PROXY protocol (version 1 or 2) in front of every TCP connection, and takes the client from there.
    /// A connection without one is closed.
    pub fn proxy_protocol(self) -> Self {
        Self { proxy_protocol: true, ..self }
    }
}

/// What a [`Who`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    pub seen: SocketAddr,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.name, self.seen)
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, seen) =
            text.trim_end().split_once(' ').ok_or_else(|| format!("no answer of a backend: `{text}`"))?;
        let seen = seen.parse().map_err(|error| format!("no answer of a backend: `{text}`: {error}"))?;
        Ok(Self { name: name.to_owned(), seen })
    }
}

impl Server for Who {
    fn kind(&self) -> &str {
        "backend"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![Listen::tcp(self.port), Listen::udp(self.port)]
    }

    async fn connection(self: Arc<Self>, connection: Connection) -> io::Result<()> {
        /// More than this in a line is none of ours.
        const LONGEST: u64 = 4096;
        let (meter, peer) = (connection.meter(), connection.peer());
        let mut connection = BufReader::new(connection);
        let seen =
            if self.proxy_protocol { proxy::read(&mut connection).await?.unwrap_or(peer) } else { peer };
        let answer = Line { name: self.name.clone(), seen }.to_string();
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut connection).take(LONGEST).read_until(b'\n', &mut line).await?;
            if length == 0 {
                return Ok(());
            }
            meter.request();
            connection.write_all(answer.as_bytes()).await?;
        }
    }

    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        Some(Line { name: self.name.clone(), seen: datagram.peer }.to_string().into_bytes())
    }
}
