//! `balance source`: clients keep their backends, and with consistent hashing few change them when a backend leaves.

use netlab::lb::{Key, LbTest, Load, Over, same_choice};
use netlab::prelude::*;

use super::{Config, HaProxy};
use crate::suite::{answered_by, failing, serve, sources};

fn by_source(kind: &str) -> Config {
    Config::tcp().with("balance source").with(&format!("hash-type {kind}"))
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn clients_move_only_with_a_reason(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    for (port, (kind, moves)) in (80..).zip([("consistent", &[][..]), ("map-based", &["disruption"])]) {
        let haproxy = HaProxy::start(&lb, &by_source(kind).port(port)).await?;
        let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]);
        let clients = || Load::requests(120).from(sources(12));

        let before = test.send(clients()).await?;
        before.affinity(Key::Source).always().holds()?;
        assert!(answered_by(&before, &web[0]), "nobody can lose what nobody had");
        haproxy.set_state(&web[0], "maint").await?;
        let without = test.send(clients()).await?;
        haproxy.set_state(&web[0], "ready").await?;
        let again = test.send(clients()).await?;

        let leaving = before.disruption(&without, Key::Source).left(web[0].name()).at_most(0.0);
        let joining = without.disruption(&again, Key::Source).joined(web[0].name()).at_most(0.0);
        println!("{kind}: {leaving}\n{kind}: {joining}");
        assert_eq!(failing([leaving]), moves);
        assert_eq!(failing([joining]), moves);
    }
    Ok(())
}

/// Servers are hashed by their numbers, which follow from the order of their lines.
#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn two_instances_choose_the_same_if_they_list_servers_alike(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let reversed = by_source("consistent").server_lines(
        "server web3 {web3.addr}:80\n    server web2 {web2.addr}:80\n    server web1 {web1.addr}:80",
    );
    let mut seen = Vec::new();
    for (port, config) in (80..).zip([by_source("consistent"), by_source("consistent"), reversed]) {
        HaProxy::start(&lb, &config.port(port)).await?;
        let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]);
        seen.push(test.send(Load::requests(36).from(sources(12))).await?);
    }
    same_choice(&seen[0], &seen[1], Key::Source).holds()?;
    assert_eq!(failing([same_choice(&seen[0], &seen[2], Key::Source)]), ["same choice"]);
    Ok(())
}
