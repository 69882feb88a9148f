//! The three ways of forwarding that the kernel's own test has (tools/testing/selftests/net/netfilter/ipvs.sh), with three real
//! servers each.

use netlab::lb::{LbTest, Load, Over, Verdict, Watch, dsr};
use netlab::prelude::*;

use super::bench::{BEFORE, BESIDE, balance, director_of, one_by_one, round_robin};
use super::services::{Forward, Scheduler};
use super::tunnel;
use crate::direct::{ANSWER, answers_go_past};
use crate::suite::serve;

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn nat(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    balance(&director_of(&lb), BEFORE, Scheduler::ROUND_ROBIN, &web, Forward::Nat)?;
    serve(&web, Over::Tcp).await?;
    let test = LbTest::new([&client], [BEFORE]);
    let traffic = test.send(one_by_one()).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    let watch = Watch::begin(&lb)?;
    let traffic = test.send(Load::requests(60).answers_of(ANSWER)).await?;
    traffic.return_path(&watch.sent()?).passes().holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/beside.topo")]
async fn direct_routing(client: Node, lb: Node, gw: Node, web: [Node; 3]) -> netlab::Result {
    balance(&director_of(&lb), BESIDE, Scheduler::ROUND_ROBIN, &web, Forward::DirectRouting)?;
    for backend in &web {
        dsr(backend, BESIDE.ip())?;
    }
    serve(&web, Over::Tcp).await?;
    let test = LbTest::new([&client], [BESIDE]);
    let traffic = test.send(one_by_one()).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    answers_go_past(&test, &lb, &gw).await
}

#[netlab::test(topology = "tests/topologies/far.topo")]
async fn tunnel(client: Node, lb: Node, gw: Node, web: [Node; 3]) -> netlab::Result {
    balance(&director_of(&lb), BESIDE, Scheduler::ROUND_ROBIN, &web, Forward::Tunnel)?;
    for backend in &web {
        netlab::requires("ipip", tunnel::end_at(backend), "load the module as root: `modprobe ipip`");
        dsr(backend, BESIDE.ip())?;
    }
    serve(&web, Over::Tcp).await?;
    let test = LbTest::new([&client], [BESIDE]);
    let traffic = test.send(one_by_one()).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    for backend in &web {
        // What it answered came by the tunnel, at least two packets of each connection.
        assert!(backend.counters()?.interface(tunnel::NAME)?.rx_packets >= 200);
    }
    answers_go_past(&test, &lb, &gw).await
}
