//! A TCP proxy in Rust, right unless it is told which fault to have.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netlab::lb::{Miss, Over, Sees};
use netlab::prelude::*;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::suite::{Balancer, Promises, vips, whole};

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
    sticky: BTreeMap<std::net::IpAddr, SocketAddr>,
    open: Vec<(SocketAddr, tokio::task::AbortHandle)>,
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
        let state = State { choice, fault, backends, accepted: 0, sticky: BTreeMap::new(), open: Vec::new() };
        let proxy = Self { state: Arc::new(Mutex::new(state)) };
        let listener = on.tcp_listener(("::", port)).await?;
        on.spawn(proxy.clone().serve(listener));
        Ok(proxy)
    }

    /// How many connections it has had to a backend.
    pub fn open_to(&self, backend: &Node) -> usize {
        let addr = SocketAddr::new(backend.addr(), 80);
        self.state.lock().unwrap().open.iter().filter(|(other, _)| *other == addr).count()
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
            let task = tokio::spawn(forward(client, backend));
            state.open.push((backend, task.abort_handle()));
        }
    }
}

async fn forward(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(backend).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

impl State {
    fn choose(&mut self, peer: SocketAddr) -> Option<SocketAddr> {
        self.accepted += 1;
        let by_weight = |&(addr, weight)| std::iter::repeat_n(addr, weight as usize);
        let mut usable: Vec<SocketAddr> = self.backends.iter().flat_map(by_weight).collect();
        match self.fault {
            Fault::NeverTheLast => drop(usable.pop()),
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
        Promises {
            over: Over::Tcp,
            vips: vips().to_vec(),
            exact: true,
            sees: Sees::Balancer([10, 2, 0, 254].into()),
            none_left: vec![Miss::Closed, Miss::Reset],
            notices: Duration::ZERO,
        }
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
