//! A TCP proxy in Rust, right unless it is told which fault to have.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netlab::lb::{Miss, Over};
use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::suite::{Balancer, Promises, whole};

/// How it chooses a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The next one for every connection.
    RoundRobin,
    /// By the client's address (rendezvous hashing).
    BySource,
    /// By the client's address and how many backends there are.
    BySourceModulo,
}

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It never chooses the last backend.
    NeverTheLast,
    /// It keeps a client with its backend, although it should not.
    Sticky,
    /// It drops one connection in this many, once it has accepted it.
    Drops(u64),
    /// A backend that is drained goes on getting connections.
    IgnoresDrain,
    /// Draining cuts what is open.
    CutsOnDrain,
    /// It closes connections long before they have been silent for as long as they may.
    ClosesEarly,
    /// It never closes a connection for being silent.
    NeverCloses,
    /// A connection that has been silent for too long stays open, and nothing gets through any more.
    HangsWhenIdle,
    /// It never chooses the backend that is the client.
    NotItself,
    /// It tells backends its own address as the client's.
    TellsItself,
}

/// The header of the PROXY protocol, by which backends are told who the client is
/// (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// A line of text (section 2.1).
    V1,
    /// Binary (section 2.2).
    V2,
}

impl Header {
    fn bytes(self, client: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let (from, at) = (client.ip().to_canonical(), to.ip().to_canonical());
        if self == Self::V1 {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            return format!("PROXY {family} {from} {at} {} {}\r\n", client.port(), to.port()).into_bytes();
        }
        let octets = |addr: IpAddr| match addr {
            IpAddr::V4(addr) => addr.octets().to_vec(),
            IpAddr::V6(addr) => addr.octets().to_vec(),
        };
        let ports = [client.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        let addresses = [octets(from), octets(at), ports].concat();
        let family_and_stream = if from.is_ipv4() { 0x11 } else { 0x21 };
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        header.extend([family_and_stream, 0, addresses.len() as u8]);
        header.extend(addresses);
        header
    }
}

/// The proxy, which may be reconfigured while it runs.
#[derive(Clone, Debug)]
pub struct Proxy {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    choice: Choice,
    fault: Fault,
    /// With their weights; 0 is drained.
    backends: Vec<(SocketAddr, u32)>,
    accepted: u64,
    sticky: BTreeMap<IpAddr, SocketAddr>,
    open: Vec<(SocketAddr, tokio::task::AbortHandle)>,
    /// How long a connection may be silent.
    idle: Option<Duration>,
    header: Option<Header>,
}

impl Proxy {
    /// Starts it on a port of a node; it listens when this returns.
    pub async fn start(
        on: &Node,
        port: u16,
        backends: &[Node],
        choice: Choice,
        fault: Fault,
    ) -> netlab::Result<Self> {
        let backends = backends.iter().map(|backend| (SocketAddr::new(backend.addr(), 80), 1)).collect();
        let state = State {
            choice,
            fault,
            backends,
            accepted: 0,
            sticky: BTreeMap::new(),
            open: Vec::new(),
            idle: None,
            header: None,
        };
        let proxy = Self { state: Arc::new(Mutex::new(state)) };
        let listener = on.tcp_listener(("::", port)).await?;
        on.spawn(proxy.clone().serve(listener));
        Ok(proxy)
    }

    /// From now on it closes connections that are silent for so long.
    pub fn closes_idle_after(&self, time: Duration) {
        let mut state = self.state.lock().unwrap();
        state.idle = match state.fault {
            Fault::NeverCloses => None,
            Fault::ClosesEarly => Some(time / 10),
            _ => Some(time),
        };
    }

    /// From now on it tells backends who the client is.
    pub fn tells_client(&self, header: Header) {
        self.state.lock().unwrap().header = Some(header);
    }

    /// The backend gets no new connections from now on.
    pub fn drain(&self, backend: &Node) {
        let mut state = self.state.lock().unwrap();
        let addr = SocketAddr::new(backend.addr(), 80);
        if state.fault != Fault::IgnoresDrain {
            state.backends.iter_mut().filter(|(other, _)| *other == addr).for_each(|(_, weight)| *weight = 0);
        }
        if state.fault == Fault::CutsOnDrain {
            state.open.iter().filter(|(other, _)| *other == addr).for_each(|(_, task)| task.abort());
        }
    }

    /// The backend is none any more.
    pub fn remove(&self, backend: &Node) {
        let addr = SocketAddr::new(backend.addr(), 80);
        self.state.lock().unwrap().backends.retain(|(other, _)| *other != addr);
    }

    /// What the backends weigh from now on; 0 is drained.
    pub fn weigh(&self, weights: &[(&Node, u32)]) {
        let weigh = |(backend, weight): &(&Node, u32)| (SocketAddr::new(backend.addr(), 80), *weight);
        self.state.lock().unwrap().backends = weights.iter().map(weigh).collect();
    }

    async fn serve(self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (client, peer) = listener.accept().await?;
            let mut state = self.state.lock().unwrap();
            let Some(backend) = state.choose(peer) else { continue };
            let (from, to) = (peer, client.local_addr()?);
            let from = if state.fault == Fault::TellsItself { to } else { from };
            let header = state.header.map_or(Vec::new(), |header| header.bytes(from, to));
            let hangs = state.fault == Fault::HangsWhenIdle;
            let task = tokio::spawn(forward(client, backend, header, state.idle, hangs));
            state.open.push((backend, task.abort_handle()));
        }
    }
}

async fn forward(
    mut client: TcpStream,
    backend: SocketAddr,
    header: Vec<u8>,
    idle: Option<Duration>,
    hangs: bool,
) -> io::Result<()> {
    let mut server = TcpStream::connect(backend).await?;
    server.write_all(&header).await?;
    let Some(idle) = idle else { return copy_bidirectional(&mut client, &mut server).await.map(drop) };
    forward_until_idle(&mut client, &mut server, idle).await?;
    if hangs {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Forwards both ways until either side closes, or neither says anything for so long.
async fn forward_until_idle(
    client: &mut TcpStream,
    server: &mut TcpStream,
    idle: Duration,
) -> io::Result<()> {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            length = client.read(&mut up) => match length? {
                0 => return Ok(()),
                length => server.write_all(&up[..length]).await?,
            },
            length = server.read(&mut down) => match length? {
                0 => return Ok(()),
                length => client.write_all(&down[..length]).await?,
            },
            () = tokio::time::sleep_until(tokio::time::Instant::now() + idle) => return Ok(()),
        }
    }
}

impl State {
    fn choose(&mut self, peer: SocketAddr) -> Option<SocketAddr> {
        self.accepted += 1;
        let by_weight = |&(addr, weight)| std::iter::repeat_n(addr, weight as usize);
        let mut usable: Vec<SocketAddr> = self.backends.iter().flat_map(by_weight).collect();
        match self.fault {
            Fault::NeverTheLast => drop(usable.pop()),
            Fault::NotItself => usable.retain(|backend| backend.ip() != peer.ip().to_canonical()),
            Fault::Drops(one_in) if self.accepted.is_multiple_of(one_in) => return None,
            Fault::Sticky => {
                if let Some(kept) = self.sticky.get(&peer.ip()) {
                    return Some(*kept);
                }
            }
            _ => {}
        }
        let hash = |text: String| {
            text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
            })
        };
        let chosen = match self.choice {
            Choice::RoundRobin => usable.get(self.accepted as usize % usable.len().max(1)).copied(),
            Choice::BySource => {
                usable.iter().copied().max_by_key(|backend| hash(format!("{} {backend}", peer.ip())))
            }
            Choice::BySourceModulo => {
                let number = hash(peer.ip().to_string()) as usize;
                usable.get(number % usable.len().max(1)).copied()
            }
        };
        if let Some(chosen) = chosen {
            self.sticky.insert(peer.ip(), chosen);
        }
        chosen
    }
}

impl Balancer for Proxy {
    fn promises() -> Promises {
        Promises::of_a_proxy(Over::Tcp, [Miss::Closed, Miss::Reset])
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        Self::start(lb, 80, web, Choice::RoundRobin, Fault::None).await
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.weigh(weights);
        Ok(())
    }
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_toolkit_run_whole(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Proxy>(&client, &lb, &web).await
}
