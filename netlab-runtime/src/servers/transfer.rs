//! A sink and a source, to measure how much gets through.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Connection, Listen, Server};
use crate::lab::ToDestination;

/// What is read or written at once.
const PORTION: usize = 1 << 18;

/// What one connection carried.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transfer {
    /// The other side.
    pub peer: SocketAddr,
    /// Bytes read by a sink, or written by a source.
    pub bytes: u64,
    /// From accepting the connection to its end.
    pub duration: Duration,
}

impl Transfer {
    /// Bytes a second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.duration.as_secs_f64()
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, bytes, duration } = self;
        write!(f, "{peer}: {bytes} bytes in {duration:.3?}, {:.1} Mbit/s", self.rate() * 8e-6)
    }
}

/// The transfers of a server.
#[derive(Debug, Default)]
struct Transfers(Mutex<Vec<Transfer>>);

impl Transfers {
    fn add(&self, transfer: Transfer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(transfer);
    }

    fn get(&self) -> Vec<Transfer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A transfer under way. Its end, whatever ends it, is written down.
struct Underway<'a> {
    transfers: &'a Transfers,
    peer: SocketAddr,
    bytes: u64,
    since: Instant,
}

impl<'a> Underway<'a> {
    fn new(transfers: &'a Transfers, connection: &Connection) -> Self {
        Self { transfers, peer: connection.peer(), bytes: 0, since: Instant::now() }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let Self { transfers, peer, bytes, since } = self;
        transfers.add(Transfer { peer: *peer, bytes: *bytes, duration: since.elapsed() });
    }
}

/// A server that reads all it is sent: [`sink`].
#[derive(Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct Sink {
    listen: Listen,
    transfers: Transfers,
}

/// A server that writes all that fits: [`source`].
#[derive(Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct Source {
    listen: Listen,
    bytes: u64,
    transfers: Transfers,
}

/// A TCP server that reads everything, and closes when its client does: the client that then reads to the end knows that all
/// has arrived.
pub fn sink(port: u16) -> Sink {
    Sink { listen: Listen::tcp(port), transfers: Transfers::default() }
}

/// A TCP server that writes zeros for as long as its client reads, or [as many](Source::bytes) as are asked for.
pub fn source(port: u16) -> Source {
    Source { listen: Listen::tcp(port), bytes: u64::MAX, transfers: Transfers::default() }
}

impl Sink {
    /// On one address only.
    pub fn on(self, addr: impl ToDestination) -> Self {
        Self { listen: self.listen.on(addr), ..self }
    }

    /// What its connections carried, those that have ended, in the order of their ends.
    pub fn transfers(&self) -> Vec<Transfer> {
        self.transfers.get()
    }
}

impl Source {
    /// On one address only.
    pub fn on(self, addr: impl ToDestination) -> Self {
        Self { listen: self.listen.on(addr), ..self }
    }

    /// Writes this many bytes on each connection, then closes it.
    pub fn bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// What its connections carried, those that have ended, in the order of their ends.
    pub fn transfers(&self) -> Vec<Transfer> {
        self.transfers.get()
    }
}

impl Server for Sink {
    fn kind(&self) -> &str {
        "sink"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![self.listen.clone()]
    }

    async fn connection(self: Arc<Self>, mut connection: Connection) -> io::Result<()> {
        let mut transfer = Underway::new(&self.transfers, &connection);
        let mut buffer = vec![0; PORTION];
        loop {
            match connection.read(&mut buffer).await? {
                0 => return Ok(()),
                length => transfer.bytes += length as u64,
            }
        }
    }
}

impl Server for Source {
    fn kind(&self) -> &str {
        "source"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![self.listen.clone()]
    }

    async fn connection(self: Arc<Self>, mut connection: Connection) -> io::Result<()> {
        let mut transfer = Underway::new(&self.transfers, &connection);
        let zeros = vec![0; PORTION];
        while transfer.bytes < self.bytes {
            let left = self.bytes - transfer.bytes;
            let portion = usize::try_from(left).unwrap_or(PORTION).min(PORTION);
            transfer.bytes += connection.write(&zeros[..portion]).await? as u64;
        }
        connection.shutdown().await?;
        // What was written is on its way; the client says when it has it.
        let mut nothing = [0; 64];
        while connection.read(&mut nothing).await? > 0 {}
        Ok(())
    }
}
