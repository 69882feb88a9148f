//! Scenario E with a balancer written in Rust.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use netlab::lb::Sees;
use netlab::prelude::*;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::rows::{self, Balancer, VIP};

/// A proxy that goes round robin, and notices that a backend is gone when it does not get through to it.
#[derive(Clone)]
struct Proxy {
    backends: Vec<SocketAddr>,
    drained: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Proxy {
    async fn start(on: &Node, web: &[Node]) -> netlab::Result<Self> {
        let backends = web.iter().map(address).collect();
        let proxy = Self { backends, drained: Arc::default() };
        let listener = on.tcp_listener(SocketAddr::from(VIP)).await?;
        on.spawn(proxy.clone().serve(listener));
        Ok(proxy)
    }

    async fn serve(self, listener: TcpListener) -> io::Result<()> {
        for turn in 0.. {
            let (client, _) = listener.accept().await?;
            tokio::spawn(self.clone().forward(turn, client));
        }
        Ok(())
    }

    async fn forward(self, turn: usize, mut client: TcpStream) -> io::Result<()> {
        for attempt in 0..self.backends.len() {
            let backend = self.backends[(turn + attempt) % self.backends.len()];
            let is_drained = self.drained.lock().unwrap().contains(&backend);
            if !is_drained && let Ok(mut server) = TcpStream::connect(backend).await {
                return copy_bidirectional(&mut client, &mut server).await.map(drop);
            }
        }
        Ok(())
    }
}

fn address(backend: &Node) -> SocketAddr {
    (backend.addr(), 80).into()
}

impl Balancer for Proxy {
    fn sees(&self) -> Sees {
        Sees::Balancer([10, 0, 0, 1].into())
    }

    async fn drain(&self, backend: &Node) -> netlab::Result {
        self.drained.lock().unwrap().push(address(backend));
        Ok(())
    }
}

#[netlab::test(topology = "tests/topologies/balanced.topo")]
async fn a_proxy_of_the_test_s_own(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let serving = rows::backends(&web).await?;
    let proxy = Proxy::start(&lb, &web).await?;
    rows::hold(&proxy, &client, &web, &serving).await
}
