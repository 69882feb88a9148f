//! Readiness by a request of HTTP/1.1 (RFC 9112).

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Look, ports};
use crate::kernel::inspect::Protocol;

/// How long one answer may take; after that, it is asked again.
const PATIENCE: Duration = Duration::from_secs(1);
/// More than a status line needs.
const LONGEST: usize = 4096;

/// What to ask, and which answer it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    port: u16,
    path: String,
    status: u16,
}

impl Request {
    /// `path` may have a port before it, as in `:8080/health`.
    pub(super) fn new(path: &str, status: u16) -> Self {
        let with_port = path.strip_prefix(':').and_then(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            let (port, path) = rest.split_at(end);
            Some((port.parse().ok()?, path))
        });
        let (port, path) = with_port.unwrap_or((80, path));
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self { port, path: format!("{slash}{path}"), status }
    }

    pub(super) fn look(&self, look: &mut Look<'_>) -> Result<(), String> {
        let sockets = ports::look(look, Protocol::Tcp, self.port)?;
        let Some(socket) = sockets.first() else {
            return Err(format!("nothing listens on {}/tcp", self.port));
        };
        let addr = match socket.local.ip() {
            IpAddr::V4(addr) if addr.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(addr) if addr.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            addr => addr,
        };
        let addr = SocketAddr::new(addr, self.port);
        let said = |what: &str| format!("`GET {}` of {addr} {what}", self.path);
        match self.ask(addr, look.node.name()) {
            Ok(Some(status)) if status == self.status => Ok(()),
            Ok(Some(status)) => Err(said(&format!("was answered with {status}, not {}", self.status))),
            Ok(None) => Err(said("was answered by something that is not HTTP/1.1")),
            Err(error) => Err(said(&format!("was not answered: {error}"))),
        }
    }

    /// The status of the answer, if it is one.
    fn ask(&self, addr: SocketAddr, host: &str) -> io::Result<Option<u16>> {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", self.path);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 512];
        while !answer.contains(&b'\n') && answer.len() < LONGEST {
            match stream.read(&mut buffer)? {
                0 => break,
                length => answer.extend_from_slice(&buffer[..length]),
            }
        }
        Ok(status_of(&answer))
    }
}

/// The status of a status line: `HTTP/1.1 200 OK`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {} of `GET {}` on port {}", self.status, self.path, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_have_a_port() {
        let request = |path| {
            let Request { port, path, .. } = Request::new(path, 200);
            (port, path)
        };
        assert_eq!(request("/health"), (80, "/health".to_owned()));
        assert_eq!(request(":8080/a:1"), (8080, "/a:1".to_owned()));
        assert_eq!(request(":8080"), (8080, "/".to_owned()));
        assert_eq!(request("health"), (80, "/health".to_owned()));
        assert_eq!(request(":x/"), (80, "/:x/".to_owned()));
    }

    #[test]
    fn the_status_is_of_the_status_line() {
        assert_eq!(status_of(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n"), Some(503));
        assert_eq!(status_of(b"HTTP/1.0 200\r\n"), Some(200));
        assert_eq!(status_of(b"220 mail ESMTP\r\n"), None);
        assert_eq!(status_of(b""), None);
    }
}
