//! All that the toolkit asks, of both modes.

use netlab::lb::{Miss, Over};
use netlab::prelude::*;

use super::{Config, HaProxy};
use crate::suite::{Balancer, Kept, Promises, whole};

/// `mode tcp`.
struct Tcp(HaProxy);

/// `mode http`.
struct Http(HaProxy);

impl Balancer for Tcp {
    fn promises() -> Promises {
        Promises::of_a_proxy(Over::Tcp, [Miss::Closed, Miss::Reset])
    }

    async fn start(lb: &Node, _web: &[Node]) -> netlab::Result<Self> {
        HaProxy::start(lb, &Config::tcp()).await.map(Self)
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.0.set_weights(weights).await
    }
}

impl Balancer for Http {
    fn promises() -> Promises {
        Promises { kept: Kept::ChosenForEachRequest, ..Promises::of_a_proxy(Over::Http, [Miss::Status(503)]) }
    }

    async fn start(lb: &Node, _web: &[Node]) -> netlab::Result<Self> {
        HaProxy::start(lb, &Config::http()).await.map(Self)
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.0.set_weights(weights).await
    }
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_toolkit_run_whole_against_tcp(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Tcp>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_toolkit_run_whole_against_http(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Http>(&client, &lb, &web).await
}
