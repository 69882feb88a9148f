//! Servers in nodes: what they serve, how they are controlled, what they count.

#[path = "servers/controls.rs"]
mod controls;
#[path = "servers/dns.rs"]
mod dns;
#[path = "servers/http.rs"]
mod http;
#[path = "servers/listening.rs"]
mod listening;
#[path = "servers/tls.rs"]
mod tls;
#[path = "servers/traffic.rs"]
mod traffic;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bounds a failure, not a success.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is to happen.
const SILENCE: Duration = Duration::from_millis(100);

/// A node's address in each family, with a port.
fn both(node: &Node, port: u16) -> [SocketAddr; 2] {
    [SocketAddr::new(node.addr4().into(), port), SocketAddr::new(node.addr6().into(), port)]
}

/// Says four bytes, and hears four.
async fn say(stream: &mut TcpStream, what: &[u8; 4]) -> io::Result<[u8; 4]> {
    stream.write_all(what).await?;
    hear(stream).await
}

/// Hears four bytes.
async fn hear(stream: &mut TcpStream) -> io::Result<[u8; 4]> {
    let mut heard = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await??;
    Ok(heard)
}

netlab::main!();
