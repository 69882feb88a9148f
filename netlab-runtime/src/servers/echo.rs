//! Echo (RFC 862).

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Connection, Datagram, Listen, Server};
use crate::lab::ToDestination;

/// A server that sends back what it is sent, over TCP: [`echo`].
#[derive(Clone, Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct Echo(Listen);

/// A server that sends back what it is sent, over UDP: [`udp_echo`].
#[derive(Clone, Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct UdpEcho(Listen);

/// A TCP echo server on a port of all of the node's addresses.
pub fn echo(port: u16) -> Echo {
    Echo(Listen::tcp(port))
}

/// A UDP echo server on a port of all of the node's addresses.
pub fn udp_echo(port: u16) -> UdpEcho {
    UdpEcho(Listen::udp(port))
}

impl Echo {
    /// On one address only.
    pub fn on(self, addr: impl ToDestination) -> Self {
        Self(self.0.on(addr))
    }
}

impl UdpEcho {
    /// On one address only.
    pub fn on(self, addr: impl ToDestination) -> Self {
        Self(self.0.on(addr))
    }
}

impl Server for Echo {
    fn kind(&self) -> &str {
        "echo server"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![self.0.clone()]
    }

    async fn connection(self: Arc<Self>, mut connection: Connection) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match connection.read(&mut buffer).await? {
                0 => return connection.shutdown().await,
                length => connection.write_all(&buffer[..length]).await?,
            }
        }
    }
}

impl Server for UdpEcho {
    fn kind(&self) -> &str {
        "UDP echo server"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![self.0.clone()]
    }

    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        Some(datagram.data.to_vec())
    }
}
