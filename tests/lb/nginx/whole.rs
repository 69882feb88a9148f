//! All that the toolkit asks, of HTTP and of TCP.

use netlab::lb::{Miss, Over};
use netlab::prelude::*;

use super::{Config, Nginx};
use crate::suite::{Balancer, Kept, Promises, whole};

/// A proxy of HTTP.
struct Http(Nginx);

/// A proxy of TCP.
struct Tcp(Nginx);

impl Balancer for Http {
    fn promises() -> Promises {
        Promises { kept: Kept::ClosedWhenIdle, ..Promises::of_a_proxy(Over::Http, [Miss::Status(502)]) }
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        Nginx::start(lb, Over::Http, &Config::over(Over::Http).servers(web, "")).await.map(Self)
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.0.reload(&Config::over(Over::Http).weighted(weights)).await
    }
}

impl Balancer for Tcp {
    fn promises() -> Promises {
        Promises::of_a_proxy(Over::Tcp, [Miss::Closed, Miss::Reset])
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        Nginx::start(lb, Over::Tcp, &Config::over(Over::Tcp).servers(web, "")).await.map(Self)
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.0.reload(&Config::over(Over::Tcp).weighted(weights)).await
    }
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_toolkit_run_whole_against_http(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Http>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_toolkit_run_whole_against_tcp(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Tcp>(&client, &lb, &web).await
}
