//! A backend that says who it is, over TCP and UDP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use netlab_runtime::servers::{Connection, Datagram, Listen, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::proxy;
use super::spec::Load;

/// A server that answers every line of TCP, and every datagram, with a line that says who it is and whom it saw:
/// `web1 192.0.2.10:41000`.
///
/// Two numbers in the question are its own number and the size of the answer in bytes: to `who 7 1000` the answer is
/// `web1 192.0.2.10:41000 7 ......`, filled up with dots. Whatever else is asked has the short answer.
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

/// What a [`Who`] is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub number: u64,
    /// How large the answer is to be, in bytes.
    pub size: u64,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "who {} {}", self.number, self.size)
    }
}

impl Question {
    /// Reads one; nothing, if somebody asks in other words.
    fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let (number, size) = text.trim_end().strip_prefix("who ")?.split_once(' ')?;
        Some(Self { number: number.parse().ok()?, size: size.parse().ok()? })
    }
}

/// What a [`Who`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    pub seen: SocketAddr,
    /// The number of the question, if that had one.
    pub number: Option<u64>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.seen)?;
        self.number.map_or(Ok(()), |number| write!(f, " {number}"))
    }
}

impl Who {
    /// The answer to a question, its end of line included.
    fn answer(&self, question: &[u8], seen: SocketAddr) -> Vec<u8> {
        let question = Question::read(question);
        let number = question.map(|question| question.number);
        let mut answer = Line { name: self.name.clone(), seen, number }.to_string().into_bytes();
        let size = question.map_or(0, |question| question.size.min(Load::LARGEST_ANSWER)) as usize;
        if answer.len() + 2 < size {
            answer.push(b' ');
            answer.resize(size - 1, b'.');
        }
        answer.push(b'\n');
        answer
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// More than this of what is no answer is not shown.
        const SHOWN: usize = 80;
        let shown = || text.chars().take(SHOWN).collect::<String>();
        let mut words = text.split_whitespace();
        let (Some(name), Some(seen)) = (words.next(), words.next()) else {
            return Err(format!("no answer of a backend: `{}`", shown()));
        };
        let seen = seen.parse().map_err(|error| format!("no answer of a backend: `{}`: {error}", shown()))?;
        Ok(Self { name: name.to_owned(), seen, number: words.next().and_then(|word| word.parse().ok()) })
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
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut connection).take(LONGEST).read_until(b'\n', &mut line).await?;
            if length == 0 {
                return Ok(());
            }
            meter.request();
            connection.write_all(&self.answer(&line, seen)).await?;
        }
    }

    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        Some(self.answer(datagram.data, datagram.peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(question: &str) -> String {
        String::from_utf8(who(80, "web1").answer(question.as_bytes(), ([192, 0, 2, 1], 4000).into())).unwrap()
    }

    #[test]
    fn answers_are_as_large_as_asked_for() {
        assert_eq!(answer("who\n"), "web1 192.0.2.1:4000\n");
        assert_eq!(answer("who 7 0\n"), "web1 192.0.2.1:4000 7\n");
        let large = answer(&Question { number: 8, size: 40 }.to_string());
        assert_eq!(large, "web1 192.0.2.1:4000 8 .................\n");
        assert_eq!(large.len(), 40);
        let read: Line = large.parse().unwrap();
        assert_eq!((read.name.as_str(), read.number), ("web1", Some(8)));
        assert!("<html>".parse::<Line>().unwrap_err().contains("no answer of a backend: `<html>`"));
    }
}
