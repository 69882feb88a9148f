//! Rules with a fault each: the check that is for it fails, the others hold.

use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Misses, Over, Sees, Traffic, Verdict, Watch};
use netlab::prelude::*;

use super::nat::Nat;
use super::rules::{By, backends, load};
use crate::suite::{FALSE_ALARM, equal, failing, serve, sources, vips};

/// What is promised of translation in turn.
fn in_turn(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share(equal(web)).ignoring_misses().exactly(),
        traffic.affinity(Key::Source).absent(web.len() as u32, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

/// What is promised of a choice by the client's address.
fn by_source(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share(equal(web)).counting(Key::Source).by_chance(FALSE_ALARM),
        traffic.affinity(Key::Source).always(),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

/// One after the other, from all addresses of the client.
fn load_of(requests: u64) -> Load {
    Load::requests(requests).concurrency(1).from(sources(12))
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn none_at_all(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let test = LbTest::new([&client], vips());
    Nat::new(&lb, By::Turn).give(web.iter().zip([1; 3])).await?;
    // 13 is no multiple of 3, so that turns of the balancer and of the sources do not fall together.
    let odd = Load::requests(390).concurrency(1).from(sources(12).into_iter().chain([([10, 1, 0, 1], 0).into()]));
    let traffic = test.send(odd).await?;
    println!("{}", traffic.summary());
    assert_eq!(failing(in_turn(&traffic, &web)), [""; 0]);
    Nat::new(&lb, By::Source).give(web.iter().zip([1; 3])).await?;
    let traffic = test.send(load_of(120)).await?;
    assert_eq!(failing(by_source(&traffic, &web)), [""; 0]);
    Ok(())
}
