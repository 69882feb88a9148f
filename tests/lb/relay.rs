//! A UDP proxy in Rust, right unless it is told which fault to have.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use netlab::prelude::*;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Flows of a backend that is removed stay with it.
    KeepsFlows,
    /// Flows of a backend that is removed get nowhere.
    BlackHoles,
    /// It drops one datagram in this many.
    Drops(u64),
}

/// The proxy. A flow, which is an address and port of a client's, keeps its backend; new ones go to the next.
#[derive(Clone, Debug)]
pub struct Relay {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    backends: Vec<SocketAddr>,
    next: usize,
    flows: BTreeMap<SocketAddr, Flow>,
}

#[derive(Debug)]
struct Flow {
    backend: SocketAddr,
    /// Towards the backend; none for a flow that gets nowhere.
    socket: Option<Arc<UdpSocket>>,
    /// What brings answers back.
    answers: AbortHandle,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

impl Relay {
    /// Starts it on a port of a node; it takes datagrams when this returns.
    pub async fn start(on: &Node, port: u16, backends: &[Node], fault: Fault) -> netlab::Result<Self> {
        let backends = backends.iter().map(at).collect();
        let state = State { fault, backends, next: 0, flows: BTreeMap::new() };
        let relay = Self { state: Arc::new(Mutex::new(state)) };
        let door = Arc::new(on.udp_socket((Ipv6Addr::UNSPECIFIED, port)).await?);
        on.spawn(relay.clone().serve(door));
        Ok(relay)
    }

    /// The backend is none any more.
    pub fn remove(&self, backend: &Node) {
        let backend = at(backend);
        let mut state = self.state.lock().unwrap();
        state.backends.retain(|other| *other != backend);
        match state.fault {
            Fault::None | Fault::Drops(_) => state.flows.retain(|_, flow| flow.backend != backend),
            Fault::KeepsFlows => {}
            Fault::BlackHoles => {
                state
                    .flows
                    .values_mut()
                    .filter(|flow| flow.backend == backend)
                    .for_each(|flow| flow.socket = None);
            }
        }
    }

    async fn serve(self, door: Arc<UdpSocket>) -> io::Result<()> {
        let fault = self.state.lock().unwrap().fault;
        let mut buffer = vec![0; 1 << 16];
        let mut taken = 0_u64;
        loop {
            let (length, client) = door.recv_from(&mut buffer).await?;
            taken += 1;
            if matches!(fault, Fault::Drops(one_in) if taken.is_multiple_of(one_in)) {
                continue;
            }
            let known = self.state.lock().unwrap().flows.get(&client).map(|flow| flow.socket.clone());
            let socket = match known {
                Some(socket) => socket,
                None => self.open(&door, client).await?,
            };
            if let Some(socket) = socket {
                socket.send(&buffer[..length]).await?;
            }
        }
    }

    /// Opens a flow to the next backend.
    async fn open(&self, door: &Arc<UdpSocket>, client: SocketAddr) -> io::Result<Option<Arc<UdpSocket>>> {
        let backend = {
            let mut state = self.state.lock().unwrap();
            state.next += 1;
            state.backends.get(state.next % state.backends.len().max(1)).copied()
        };
        let Some(backend) = backend else { return Ok(None) };
        let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(backend).await?;
        let socket = Arc::new(socket);
        let answers = tokio::spawn(bring_back(Arc::clone(&socket), Arc::clone(door), client)).abort_handle();
        let flow = Flow { backend, socket: Some(Arc::clone(&socket)), answers };
        self.state.lock().unwrap().flows.insert(client, flow);
        Ok(Some(socket))
    }
}

fn at(backend: &Node) -> SocketAddr {
    SocketAddr::new(backend.addr(), 80)
}

async fn bring_back(from: Arc<UdpSocket>, door: Arc<UdpSocket>, client: SocketAddr) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.recv(&mut buffer).await?;
        door.send_to(&buffer[..length], client).await?;
    }
}
