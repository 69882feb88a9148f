//! Scenario E with HAProxy, as it is installed.

use std::path::PathBuf;

use netlab::lb::Sees;
use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::rows::{self, Balancer};

const CONFIG: &str = "
global
    stats socket {node.dir}/haproxy.sock level admin
    maxconn 400

defaults
    mode tcp
    timeout connect 1s
    timeout client 30s
    timeout server 30s

frontend clients
    bind {lb.addr4.clients}:80
    default_backend web

backend web
    balance roundrobin
    server {web[*].name} {web[*].addr}:80 check inter 25ms fall 2 rise 2
";

/// HAProxy, known by its runtime API.
struct HaProxy {
    socket: PathBuf,
}

impl HaProxy {
    async fn start(on: &Node) -> netlab::Result<Self> {
        netlab::requires_program("haproxy");
        let config = on.file("haproxy.cfg", CONFIG)?;
        let socket = config.with_extension("sock");
        on.command("haproxy").args(["-db", "-f"]).arg(config).ready_when(ready::port(80)).start().await?;
        Ok(Self { socket })
    }
}

impl Balancer for HaProxy {
    fn sees(&self) -> Sees {
        Sees::Balancer([10, 0, 0, 1].into())
    }

    async fn drain(&self, backend: &Node) -> netlab::Result {
        let mut socket = UnixStream::connect(&self.socket).await?;
        let command = format!("set server web/{} state drain\n", backend.name());
        socket.write_all(command.as_bytes()).await?;
        let mut refused = String::new();
        socket.read_to_string(&mut refused).await?;
        if refused.trim().is_empty() { Ok(()) } else { Err(netlab::Error::msg(refused)) }
    }
}

#[netlab::test(topology = "tests/topologies/balanced.topo")]
async fn a_stock_haproxy(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let serving = rows::backends(&web).await?;
    let haproxy = HaProxy::start(&lb).await?;
    rows::hold(&haproxy, &client, &web, &serving).await
}
