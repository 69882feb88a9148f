//! All that the toolkit asks, of both modes.

use std::time::Duration;

use netlab::lb::{Miss, Over, Sees};
use netlab::prelude::*;

use super::{Config, HaProxy};
use crate::suite::{Balancer, Kept, Promises, vips, whole};

/// `mode tcp`.
struct Tcp(HaProxy);

/// `mode http`.
struct Http(HaProxy);

fn promises(over: Over, none_left: Vec<Miss>) -> Promises {
    Promises {
        over,
        vips: vips().to_vec(),
        exact: true,
        sees: Sees::Balancer([10, 2, 0, 254].into()),
        none_left,
        notices: Duration::ZERO,
    }
}

impl Balancer for Tcp {
    fn promises() -> Promises {
        promises(Over::Tcp, vec![Miss::Closed, Miss::Reset])
    }

    async fn start(lb: &Node, _web: &[Node]) -> netlab::Result<Self> {
        HaProxy::start(lb, &Config::tcp()).await.map(Self)
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        for (server, weight) in weights {
            self.0.set_weight(server, *weight).await?;
        }
        Ok(())
    }
}

impl Balancer for Http {
    fn promises() -> Promises {
        promises(Over::Http, vec![Miss::Status(503)])
    }

    fn kept() -> Kept {
        Kept::ChosenForEachRequest
    }

    async fn start(lb: &Node, _web: &[Node]) -> netlab::Result<Self> {
        HaProxy::start(lb, &Config::http()).await.map(Self)
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        for (server, weight) in weights {
            self.0.set_weight(server, *weight).await?;
        }
        Ok(())
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
