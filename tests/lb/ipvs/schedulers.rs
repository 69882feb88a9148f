//! Who is chosen, by schedulers that go by the client, and by persistence.

use std::net::SocketAddr;

use netlab::lb::{Key, LbTest, Load, Misses, Over};
use netlab::prelude::*;

use super::bench::{BEFORE, balance, director_of, one_by_one, round_robin, server};
use super::services::{Forward, Scheduler};
use crate::direct::ports;
use crate::suite::{FALSE_ALARM, failing, serve, sources};

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn source_hashing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    balance(&director_of(&lb), BEFORE, Scheduler::SOURCE_HASHING, &web, Forward::Nat)?;
    serve(&web, Over::Tcp).await?;
    let traffic = LbTest::new([&client], [BEFORE]).send(Load::requests(240).from(sources(12))).await?;
    traffic.affinity(Key::Source).always().holds()?;
    traffic.share_equally(&web).counting(Key::Source).by_chance(FALSE_ALARM).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn source_and_port_hashing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    balance(&director_of(&lb), BEFORE, Scheduler::SOURCE_AND_PORT_HASHING, &web, Forward::Nat)?;
    serve(&web, Over::Tcp).await?;
    let traffic = LbTest::new([&client], [BEFORE]).send(Load::requests(600).from(ports(300))).await?;
    traffic.affinity(Key::SourceAndPort).always().holds()?;
    traffic.affinity(Key::Source).absent(3, FALSE_ALARM).holds()?;
    traffic.share_equally(&web).counting(Key::SourceAndPort).by_chance(FALSE_ALARM).holds()?;
    Ok(())
}

/// Maglev hashing leaves nearly all clients where they are, and plain hashing does not.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn a_server_that_leaves(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let director = director_of(&lb);
    serve(&web, Over::Tcp).await?;
    let schedulers = [(Scheduler::MAGLEV_HASHING, true), (Scheduler::SOURCE_AND_PORT_HASHING, false)];
    for (port, (scheduler, holds)) in (80..).zip(schedulers) {
        let vip = SocketAddr::new(BEFORE.ip(), port);
        balance(&director, vip, scheduler, &web, Forward::Nat)?;
        let test = LbTest::new([&client], [vip]);
        let before = test.send(Load::requests(300).from(ports(300))).await?;
        director.remove_server(vip, server(&web[0], vip))?;
        let after = test.send(Load::requests(300).from(ports(300))).await?;
        let disruption = before.disruption(&after, Key::SourceAndPort).left(web[0].name()).at_most(0.05);
        assert_eq!(disruption.is_ok(), holds, "{scheduler:?}: {disruption}");
        after.loses(Misses::none()).holds()?;
    }
    Ok(())
}

/// The check that is for it fails, the others hold.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn persistence_where_there_should_be_none(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let scheduler = Scheduler::ROUND_ROBIN.persistent();
    balance(&director_of(&lb), BEFORE, scheduler, &web, Forward::Nat)?;
    serve(&web, Over::Tcp).await?;
    let traffic = LbTest::new([&client], [BEFORE]).send(one_by_one()).await?;
    // Each client's first turn is as fair as ever.
    let first_turns = traffic.share_equally(&web).counting(Key::Source).exactly();
    let [_share, rest @ ..] = round_robin(&traffic, &web);
    assert_eq!(failing([first_turns].into_iter().chain(rest)), ["affinity"]);
    Ok(())
}
