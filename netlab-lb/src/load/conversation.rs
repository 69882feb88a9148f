//! One client's connection to the balancer, whatever it speaks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{COOKIE, HOST, HeaderValue, SET_COOKIE};
use hyper::http::uri::InvalidUri;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use netlab_runtime::servers::Seen;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::counted::{Carried, Counted};
use super::who::{Line, Question};
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
    carried: Arc<Carried>,
    asked: u64,
}

#[derive(Debug)]
enum Way {
    Tcp(BufReader<Counted<TcpStream>>),
    Udp(UdpSocket),
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
        let carried = Arc::<Carried>::default();
        let (way, source) = match over {
            Over::Udp => {
                let socket = connect_udp(vip, source).await.map_err(|error| Miss::from(&error))?;
                let source = socket.local_addr();
                (Way::Udp(socket), source)
            }
            Over::Tcp | Over::Http => {
                let stream = connect(vip, source).await.map_err(|error| Miss::from(&error))?;
                let source = stream.local_addr();
                let stream = Counted::new(stream, &carried);
                let way = if over == Over::Http {
                    open_http(vip, stream).await?
                } else {
                    Way::Tcp(BufReader::new(stream))
                };
                (way, source)
            }
        };
        Ok(Self { way, source: source.map_err(|error| Miss::from(&error))?, carried, asked: 0 })
    }

    /// Where it comes from.
    pub(super) fn source(&self) -> SocketAddr {
        self.source
    }

    /// Bytes sent and received so far.
    pub(super) fn carried(&self) -> (u64, u64) {
        self.carried.so_far()
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Whether it is none any more once a request has failed. A socket for datagrams is as good as before.
    pub(super) fn ends_with_a_miss(&self) -> bool {
        !matches!(self.way, Way::Udp(_))
    }

    /// Asks once, for an answer of this size. The cookie is sent, and replaced by the one that comes back.
    pub(super) async fn ask(
        &mut self,
        size: u64,
        cookie: Option<&mut Option<String>>,
    ) -> Result<Answer, Miss> {
        self.asked += 1;
        let question = Question { number: self.asked, size };
        match &mut self.way {
            Way::Tcp(stream) => {
                stream
                    .write_all(question.to_string().as_bytes())
                    .await
                    .map_err(|error| Miss::from(&error))?;
                let mut line = String::new();
                let length = stream.read_line(&mut line).await.map_err(|error| Miss::from(&error))?;
                if length == 0 || !line.ends_with('\n') {
                    return Err(Miss::Closed);
                }
                answer(&line).map(|(answer, _)| answer)
            }
            Way::Udp(socket) => datagram(socket, question, &self.carried).await,
            Way::Http { sender, vip, .. } => http(sender, *vip, size, cookie).await,
        }
    }

    /// Waits until the other side closes or resets the connection, which it may never do.
    pub(super) async fn closed(&mut self) {
        match &mut self.way {
            Way::Tcp(stream) => {
                if stream.fill_buf().await.is_ok_and(|unasked| !unasked.is_empty()) {
                    std::future::pending::<()>().await;
                }
            }
            Way::Http { driver, .. } => drop(driver.await),
            Way::Udp(_) => std::future::pending().await,
        }
    }
}

async fn open_http(vip: SocketAddr, stream: Counted<TcpStream>) -> Result<Way, Miss> {
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| miss_of(&error))?;
    let driver = tokio::spawn(async move {
        // What ends the connection is told to who waits for an answer.
        drop(connection.await);
    });
    Ok(Way::Http { sender, vip, driver })
}

async fn datagram(socket: &UdpSocket, question: Question, carried: &Carried) -> Result<Answer, Miss> {
    let text = question.to_string();
    carried.add_out(socket.send(text.as_bytes()).await.map_err(|error| Miss::from(&error))?);
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| Miss::from(&error))?;
        carried.add_back(length);
        let (answer, number) = answer(&String::from_utf8_lossy(&buffer[..length]))?;
        // The late answer to an earlier question is none to this one.
        if number.is_none_or(|number| number == question.number) {
            return Ok(answer);
        }
    }
}

/// More than the largest datagram.
const LARGEST_DATAGRAM: usize = 1 << 16;

/// An answer, and the number of the question that it is to.
fn answer(line: &str) -> Result<(Answer, Option<u64>), Miss> {
    let Line { name, seen, number } = line.parse().map_err(Miss::Other)?;
    Ok((Answer { backend: name, seen, cookie: None }, number))
}

async fn http(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    vip: SocketAddr,
    size: u64,
    cookie: Option<&mut Option<String>>,
) -> Result<Answer, Miss> {
    let other = |error: &dyn std::error::Error| Miss::Other(error.to_string());
    let mut request = Request::new(Empty::new());
    if size > 0 {
        // What `servers::identity` fills its answer up to.
        *request.uri_mut() = format!("/?size={size}").parse().map_err(|error: InvalidUri| other(&error))?;
    }
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

async fn connect_udp(vip: SocketAddr, source: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let any: SocketAddr = if vip.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(source.unwrap_or(any)).await?;
    socket.connect(vip).await?;
    Ok(socket)
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
