//! A connection as a server has it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::engine::Engine;
use super::stream::Controlled;

/// A TCP connection that a server has accepted. It reads and writes under the controls of [`Serving`](super::Serving), and is
/// closed (FIN) when it is dropped.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: SocketAddr,
    local: SocketAddr,
    // After `io`, which closes the connection: then it may be counted as closed.
    ticket: Arc<Ticket>,
}

#[derive(Debug)]
enum Io {
    Plain(Controlled),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Controlled>>),
}

trait ReadWrite: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ReadWrite for T {}

impl Io {
    fn pinned(&mut self) -> Pin<&mut dyn ReadWrite> {
        let io: &mut dyn ReadWrite = match self {
            Self::Plain(plain) => plain,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls,
        };
        Pin::new(io)
    }
}

/// Counts the requests of a server: [`Connection::meter`].
#[derive(Clone, Debug)]
pub struct Meter(Arc<Engine>);

/// A connection's place in the books. It is struck off when neither the connection nor its server is there any more.
#[derive(Debug)]
pub(super) struct Ticket {
    engine: Arc<Engine>,
    id: u64,
}

impl Connection {
    /// Takes on a stream that was just accepted, with the door locked that it came through.
    pub(super) fn admit(engine: &Arc<Engine>, stream: TcpStream, peer: SocketAddr) -> io::Result<Self> {
        let local = canonical(stream.local_addr()?);
        // As every server does that answers in more than one write.
        stream.set_nodelay(true)?;
        let (id, stream) = engine.admit(stream);
        Ok(Self {
            io: Io::Plain(Controlled::new(stream, Arc::clone(engine))),
            peer: canonical(peer),
            local,
            ticket: Arc::new(Ticket { engine: Arc::clone(engine), id }),
        })
    }

    /// The same connection, read and written through TLS.
    #[cfg(feature = "tls")]
    pub(super) async fn behind_tls(self, acceptor: &tokio_rustls::TlsAcceptor) -> io::Result<Self> {
        let Self { io, peer, local, ticket } = self;
        let io = match io {
            Io::Plain(plain) => Io::Tls(Box::new(acceptor.accept(plain).await?)),
            Io::Tls(_) => return Err(io::Error::other("it is behind TLS already")),
        };
        Ok(Self { io, peer, local, ticket })
    }

    pub(super) fn ticket(&self) -> Arc<Ticket> {
        Arc::clone(&self.ticket)
    }

    /// The client's address, as this side sees it.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address that the client connected to, as this side sees it.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The name of the node that the server runs on.
    pub fn node(&self) -> &str {
        &self.ticket.engine.node
    }

    /// What counts the requests of the server.
    pub fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.ticket.engine))
    }
}

impl Meter {
    /// Counts a request, and gives its number among all of this server, from 1.
    pub fn request(&self) -> u64 {
        self.0.counting.add(&self.0.counting.requests, 1)
    }
}

impl Ticket {
    /// Counts the connection as one that ended with an error.
    pub(super) fn failed(&self) {
        self.engine.counting.add(&self.engine.counting.failed, 1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.engine.dismiss(self.id);
        self.engine.counting.add(&self.engine.counting.closed, 1);
    }
}

/// IPv4 written as IPv4, which a socket of both families shows as `::ffff:10.0.0.1`.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(addr.ip().to_canonical(), addr.port())
        }
        other => other,
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().io.pinned().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().io.pinned().poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io.pinned().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io.pinned().poll_shutdown(context)
    }
}
