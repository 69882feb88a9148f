//! One client's connection to the balancer, whatever it speaks.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{COOKIE, HOST, HeaderValue, SET_COOKIE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use netlab_runtime::servers::Seen;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::who::Line;
use crate::observation::{Answer, Miss};

/// What is spoken to the balancer, and by it to the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Lines over TCP, answered by [`who`](super::who()).
    Tcp,
    /// Datagrams, answered by [`who`](super::who()).
    Udp,
    /// HTTP/1.1, answered by `servers::identity`.
    Http,
}

/// An open connection, or for UDP a socket that is connected to the balancer.
#[derive(Debug)]
pub(super) struct Conversation {
    way: Way,
    source: SocketAddr,
}

#[derive(Debug)]
enum Way {
    Tcp(BufReader<TcpStream>),
    Udp { socket: UdpSocket, asked: u64 },
    Http { sender: http1::SendRequest<Empty<Bytes>>, vip: SocketAddr, driver: JoinHandle<()> },
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Way::Http { driver, .. } = &self.way {
            driver.abort();
        }
    }
}

/// The system's error, if one is behind hyper's.
fn miss_of(error: &hyper::Error) -> Miss {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return error.into();
        }
        cause = inner.source();
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Miss::Closed;
    }
    Miss::Other(error.to_string())
}

impl Conversation {
    /// Opens it. Called in the client's namespace.
    pub(super) async fn open(over: Over, vip: SocketAddr, source: Option<SocketAddr>) -> Result<Self, Miss> {
        let any: SocketAddr = if vip.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        if over == Over::Udp {
            let socket = UdpSocket::bind(source.unwrap_or(any)).await.map_err(|error| Miss::from(&error))?;
            socket.connect(vip).await.map_err(|error| Miss::from(&error))?;
            let source = socket.local_addr().map_err(|error| Miss::from(&error))?;
            return Ok(Self { way: Way::Udp { socket, asked: 0 }, source });
        }
        let stream = connect(vip, source).await.map_err(|error| Miss::from(&error))?;
        let source = stream.local_addr().map_err(|error| Miss::from(&error))?;
        if over == Over::Tcp {
            return Ok(Self { way: Way::Tcp(BufReader::new(stream)), source });
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| miss_of(&error))?;
        let driver = tokio::spawn(async move {
            // What ends the connection is told to who waits for an answer.
            drop(connection.await);
        });
        Ok(Self { way: Way::Http { sender, vip, driver }, source })
    }

    /// Where it comes from.
    pub(super) fn source(&self) -> SocketAddr {
        self.source
    }

    /// Asks once. The cookie is sent, and replaced by the one that comes back.
    pub(super) async fn ask(&mut self, cookie: Option<&mut Option<String>>) -> Result<Answer, Miss> {
        match &mut self.way {
            Way::Tcp(stream) => {
                stream.write_all(b"who\n").await.map_err(|error| Miss::from(&error))?;
                let mut line = String::new();
                let length = stream.read_line(&mut line).await.map_err(|error| Miss::from(&error))?;
                if length == 0 || !line.ends_with('\n') {
                    return Err(Miss::Closed);
                }
                answer(&line)
            }
            Way::Udp { socket, asked } => {
                *asked += 1;
                let question = format!("who {asked}\n");
                socket.send(question.as_bytes()).await.map_err(|error| Miss::from(&error))?;
                let mut buffer = [0; 512];
                let length = socket.recv(&mut buffer).await.map_err(|error| Miss::from(&error))?;
                answer(&String::from_utf8_lossy(&buffer[..length]))
            }
            Way::Http { sender, vip, .. } => http(sender, *vip, cookie).await,
        }
    }
}

fn answer(line: &str) -> Result<Answer, Miss> {
    let Line { name, seen } = line.parse().map_err(Miss::Other)?;
    Ok(Answer { backend: name, seen, cookie: None })
}

async fn http(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    vip: SocketAddr,
    cookie: Option<&mut Option<String>>,
) -> Result<Answer, Miss> {
    let other = |error: &dyn std::error::Error| Miss::Other(error.to_string());
    let mut request = Request::new(Empty::new());
    let host = HeaderValue::try_from(vip.to_string()).map_err(|error| other(&error))?;
    request.headers_mut().insert(HOST, host);
    if let Some(Some(cookie)) = &cookie {
        request.headers_mut().insert(COOKIE, HeaderValue::try_from(cookie).map_err(|error| other(&error))?);
    }
    sender.ready().await.map_err(|error| miss_of(&error))?;
    let (head, body) = sender.send_request(request).await.map_err(|error| miss_of(&error))?.into_parts();
    let body = body.collect().await.map_err(|error| miss_of(&error))?.to_bytes();
    if head.status != StatusCode::OK {
        return Err(Miss::Status(head.status.as_u16()));
    }
    let set = head.headers.get(SET_COOKIE).and_then(|value| value.to_str().ok());
    let set = set.map(|value| value.split(';').next().unwrap_or(value).trim().to_owned());
    // What the balancer was told decides, rather than what it says next: it may say anything.
    let known_by = match cookie {
        Some(kept) => match (kept.take(), set) {
            (told, Some(set)) => {
                *kept = Some(set.clone());
                told.or(Some(set))
            }
            (told, None) => {
                kept.clone_from(&told);
                told
            }
        },
        None => set,
    };
    let seen: Seen = String::from_utf8_lossy(&body).parse().map_err(|error| other(&error))?;
    Ok(Answer { backend: seen.node, seen: seen.peer, cookie: known_by })
}

async fn connect(vip: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = if vip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.set_reuseaddr(true)?;
        if source.port() != 0 {
            socket.set_zero_linger()?;
        }
        socket.bind(source)?;
    }
    let stream = socket.connect(vip).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Bounds what is being done for a request.
pub(super) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Miss>>,
) -> Result<T, Miss> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Miss::TimedOut))
}
