//! The whole toolkit.

use std::time::Duration;

use netlab::lb::{Miss, Over, Sees};
use netlab::prelude::*;

use super::bench::{balance, director_of, server};
use super::services::{Director, Forward, Scheduler};
use crate::suite::{self, Balancer, Kept, Promises};

/// Weighted round robin, with NAT, for both families; of TCP, or of UDP.
struct WeightedNat<const UDP: bool>(Director);

impl<const UDP: bool> Balancer for WeightedNat<UDP> {
    fn promises() -> Promises {
        Promises {
            over: if UDP { Over::Udp } else { Over::Tcp },
            vips: suite::vips().into(),
            exact: true,
            sees: Sees::ClientAndPort,
            // ICMP: port unreachable (`ip_vs_leave` in net/netfilter/ipvs/ip_vs_core.c).
            none_left: vec![Miss::Refused],
            notices: Duration::ZERO,
            kept: Kept::Stays,
        }
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        let director = director_of(lb);
        let director = if UDP { director.for_datagrams() } else { director };
        for vip in suite::vips() {
            balance(&director, vip, Scheduler::WEIGHTED_ROUND_ROBIN, web, Forward::Nat)?;
        }
        Ok(Self(director))
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        for vip in suite::vips() {
            for (backend, weight) in weights {
                self.0.set_weight(vip, server(backend, vip), Forward::Nat, *weight)?;
            }
        }
        Ok(())
    }
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn connections(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    suite::whole::<WeightedNat<false>>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn datagrams(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    suite::whole::<WeightedNat<true>>(&client, &lb, &web).await
}
