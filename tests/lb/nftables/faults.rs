//! Rules with a fault each: the check that is for it fails, the others hold.

use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Miss, Misses, Over, Sees, Traffic, Verdict};
use netlab::prelude::*;

use super::nat::Nat;
use super::rules::{By, backends, load};
use crate::suite::{FALSE_ALARM, KEPT, failing, kept_and_fresh, serve, sources, vips};

/// What is promised of translation in turn.
fn in_turn(traffic: &Traffic, web: &[Node]) -> Vec<&'static str> {
    failing([
        traffic.share_equally(web).ignoring_misses().exactly(),
        traffic.affinity(Key::Source).absent(web.len() as u32, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ])
}

/// What is promised of a choice by the client's address.
fn by_source(traffic: &Traffic, web: &[Node]) -> Vec<&'static str> {
    failing([
        traffic.share_equally(web).counting(Key::Source).by_chance(FALSE_ALARM),
        traffic.affinity(Key::Source).always(),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ])
}

/// Backends, a client that speaks to them so, and rules that balance right.
async fn bench(client: &Node, lb: &Node, web: &[Node], by: By, over: Over) -> netlab::Result<(LbTest, Nat)> {
    serve(web, over).await?;
    let nat = Nat::new(lb, by);
    nat.give(web.iter().zip([1; 3])).await?;
    Ok((LbTest::new([client], vips()).over(over), nat))
}

/// One after the other. Of 11 sources and 3 backends, each comes to each in turn.
fn one_by_one() -> Load {
    Load::requests(330).concurrency(1).from(sources(11))
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn none_at_all(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, _nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    let traffic = test.send(one_by_one()).await?;
    assert_eq!(in_turn(&traffic, &web), [""; 0]);
    Nat::new(&lb, By::Source).give(web.iter().zip([1; 3])).await?;
    let traffic = test.send(one_by_one()).await?;
    assert_eq!(by_source(&traffic, &web), [""; 0]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn a_backend_is_not_in_the_map(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    nat.give(web[..2].iter().zip([1; 2])).await?;
    let traffic = test.send(one_by_one()).await?;
    assert_eq!(in_turn(&traffic, &web), ["share"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn in_turn_where_a_hash_is_promised(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, _nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    let traffic = test.send(one_by_one()).await?;
    assert_eq!(by_source(&traffic, &web), ["affinity"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn a_hash_where_turns_are_promised(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, _nat) = bench(&client, &lb, &web, By::Source, Over::Tcp).await?;
    let traffic = test.send(one_by_one()).await?;
    // The shares of so few sources are not exact either.
    assert_eq!(in_turn(&traffic, &web), ["share", "affinity"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn masqueraded_where_the_client_is_promised(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    nat.masquerading().give(web.iter().zip([1; 3])).await?;
    let traffic = test.send(one_by_one()).await?;
    assert_eq!(in_turn(&traffic, &web), ["source"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn weights_are_ignored(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    let weights = [(&web[0], 1), (&web[1], 2), (&web[2], 3)];
    for (given, expected) in [([1, 2, 3], &[][..]), ([1, 1, 1], &["share"])] {
        nat.give(web.iter().zip(given)).await?;
        let traffic = test.send(one_by_one()).await?;
        let verdicts = [traffic.share(weights).exactly(), traffic.loses(Misses::none())];
        assert_eq!(failing(verdicts), expected, "weights {given:?}");
    }
    Ok(())
}

/// One datagram in 33 is dropped before it is translated.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn one_in_so_many_is_dropped(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, _nat) = bench(&client, &lb, &web, By::Turn, Over::Udp).await?;
    load(
        &lb,
        "table inet fault {
            chain early { type filter hook prerouting priority raw; iifname eth0 numgen inc mod 33 32 drop; }
        }",
    )
    .await?;
    // No port is used twice, so that every datagram is a flow of its own: there are enough for one of the four senders to send all.
    let from = (0..4 * 330).map(|n| ([10, 1, 0, (n % 11 + 1) as u8], 20_000 + n).into());
    let once = Load::requests(330).concurrency(4).from(from).timeout(Duration::from_secs(1));
    let traffic = test.send(once).await?;
    assert_eq!(in_turn(&traffic, &web), ["failover"]);
    assert_eq!(traffic.misses().map(|(_, miss)| miss).collect::<Vec<_>>(), [&Miss::TimedOut; 10]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn drained_and_yet_chosen(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    for (drained, expected) in [(0, &[][..]), (1, &["drain, nothing new"])] {
        let [kept, fresh] =
            drain(&test, &web[0], async || nat.give(web.iter().zip([drained, 1, 1])).await).await?;
        assert_eq!(failing([kept, fresh]), expected, "weight {drained}");
        nat.give(web.iter().zip([1; 3])).await?;
    }
    Ok(())
}

/// What keeps connections of a drained backend alive is that they are tracked: without that memory they are cut.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn drained_and_cut(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    let verdicts = drain(&test, &web[0], async || {
        nat.give(web.iter().zip([0, 1, 1])).await?;
        assert!(nat.forget(&web[0])? > 0);
        Ok(())
    })
    .await?;
    assert_eq!(failing(verdicts), ["drain, open connections"]);
    Ok(())
}

/// Drains a backend in the middle of a load: whether it keeps what it has, and whether it gets nothing new.
pub async fn drain(
    test: &LbTest,
    backend: &Node,
    drain: impl AsyncFnOnce() -> netlab::Result,
) -> netlab::Result<[Verdict; 2]> {
    let (kept, fresh) = kept_and_fresh(test).await?;
    let began = test.now();
    drain().await?;
    let drained = test.now();
    fresh.until(|fresh| fresh.since(drained).answers().count() >= 60).await?;
    let end = test.now();
    kept.until(|kept| kept.since(end).observations().len() >= KEPT).await?;
    let (kept, fresh) = (kept.stop().await?, fresh.stop().await?);
    Ok([
        kept.drain(backend, began).keeps_open(end - began),
        fresh.drain(backend, began).nothing_new(drained - began),
    ])
}

/// Flows of UDP have no end that the balancer could see. One that has removed a backend has to forget its flows too, after it has
/// changed the rules: a datagram that comes between would otherwise be remembered as before.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn flows_of_a_removed_backend_are_remembered(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Udp).await?;
    for (forgets, expected) in [(true, &[][..]), (false, &["stale flows"])] {
        let from = (1..=12).map(|last| ([10, 1, 0, last], 40_000 + u16::from(forgets)).into());
        let load = test.start(Load::rate(300.0, Duration::from_secs(30)).keep_connections(12).from(from))?;
        load.until(|load| load.observations().len() >= 24).await?;
        let removed = test.now();
        nat.give(web[1..].iter().zip([1; 2])).await?;
        if forgets {
            assert_eq!(nat.forget(&web[0])?, 4);
        }
        let changed = test.now();
        load.until(|load| load.since(changed).observations().len() >= 36).await?;
        let traffic = load.stop().await?;
        let stale = traffic.removal(&web[0], removed).forgotten_within(changed - removed);
        let verdicts = [stale, traffic.loses(Misses::none()), traffic.source(Sees::ClientAndPort)];
        assert_eq!(failing(verdicts), expected, "forgets: {forgets}");
        nat.give(web.iter().zip([1; 3])).await?;
    }
    Ok(())
}

/// With no backend left a client is to be told, not to be left waiting.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn silence_when_no_backend_is_left(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    nat.give([]).await?;
    let limit = Duration::from_secs(1);
    let silence = "table inet fault {
        chain early { type filter hook prerouting priority raw; tcp dport 80 drop
        }
    }";
    for (rules, expected) in [("", &[][..]), (silence, &["no backend left"])] {
        load(&lb, rules).await?;
        let traffic = test.send(Load::requests(6).timeout(limit)).await?;
        assert_eq!(failing([traffic.all_fail(&[Miss::Refused], limit * 2)]), expected, "{rules}");
    }
    Ok(())
}

/// Rules that have a mistake change nothing: what was loaded before goes on.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn rules_that_are_refused(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let (test, nat) = bench(&client, &lb, &web, By::Turn, Over::Tcp).await?;
    let rules = nat.rules(&backends(web[..2].iter().zip([1; 2]))?) + "add rule inet lb nowhere accept\n";
    let error = load(&lb, &rules).await.unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    let traffic = test.send(one_by_one()).await?;
    assert_eq!(in_turn(&traffic, &web), [""; 0]);
    Ok(())
}
