//! Clients that keep their backends: `hash .. consistent` and `ip_hash`.

use netlab::lb::{Key, LbTest, Load, Over};
use netlab::prelude::*;

use super::{Config, Nginx};
use crate::suite::{answered_by, failing, serve, sources, vips};

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn consistent_hashing_moves_nobody_without_a_reason(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    serve(&web, Over::Http).await?;
    let config = Config::over(Over::Http).choosing("hash $remote_addr consistent;");
    let nginx = Nginx::start(&lb, Over::Http, &config.clone().servers(&web, "")).await?;
    let test = LbTest::new([&client], [vips()[0]]).over(Over::Http);
    let clients = || Load::requests(120).from(sources(12));

    let before = test.send(clients()).await?;
    before.affinity(Key::Source).always().holds()?;
    assert!(answered_by(&before, &web[0]), "nobody can lose what nobody had");
    nginx.reload(&config.weighted(&[(&web[0], 0), (&web[1], 1), (&web[2], 1)])).await?;
    let without = test.send(clients()).await?;
    before.disruption(&without, Key::Source).left("web1").at_most(0.0).holds()?;
    Ok(())
}

/// `ip_hash` looks at the first three bytes of an IPv4 address: a whole /24 is one client to it.
#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn ip_hash_takes_neighbours_for_one_client(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Http).await?;
    let config = Config::over(Over::Http).choosing("ip_hash;").servers(&web, "");
    Nginx::start(&lb, Over::Http, &config).await?;
    let test = LbTest::new([&client], [vips()[0]]).over(Over::Http);
    let traffic = test.send(Load::requests(120).from(sources(12))).await?;
    traffic.affinity(Key::Source).always().holds()?;
    // Twelve decisions that fell alike by chance: once in 3^11 runs.
    let share = traffic.share_equally(&web).counting(Key::Source).by_chance(1e-3);
    println!("{share}");
    assert_eq!(failing([share]), ["share"]);
    Ok(())
}
