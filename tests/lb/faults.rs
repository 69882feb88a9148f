//! One test for each fault: the check that is for it fails, the others hold.

use std::net::SocketAddr;
use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Misses, Over, Sees, Traffic, Verdict};
use netlab::prelude::*;

use crate::proxy::{Choice, Fault, Proxy};
use crate::suite::{FALSE_ALARM, MANY, answered_by, failing, kept_and_fresh, serve, sources};

/// Backends, and before them a balancer that does round robin.
async fn bench(client: &Node, lb: &Node, web: &[Node], fault: Fault) -> netlab::Result<LbTest> {
    serve(web, Over::Tcp).await?;
    Proxy::start(lb, 80, web, Choice::RoundRobin, fault).await?;
    Ok(LbTest::new([client], [vip(80)]))
}

fn vip(port: u16) -> SocketAddr {
    ([10, 1, 0, 254], port).into()
}

/// What holds of round robin.
fn round_robin(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share_equally(web).ignoring_misses().by_chance(FALSE_ALARM),
        traffic.affinity(Key::Source).absent(web.len() as u32, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::Balancer([10, 2, 0, 254].into())),
    ]
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_right_one_passes_every_check(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::None).await?;
    let traffic = test.send(Load::requests(300).from(sources(12))).await?;
    println!("{}", traffic.summary());
    for verdict in round_robin(&traffic, &web) {
        verdict.holds()?;
    }
    let one_by_one = test.send(Load::requests(300).concurrency(1)).await?;
    one_by_one.share_equally(&web).exactly().holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_backend_that_is_never_chosen(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::NeverTheLast).await?;
    let traffic = test.send(Load::requests(300).from(sources(12))).await?;
    let verdicts = round_robin(&traffic, &web);
    assert!(verdicts[0].to_string().contains("never chosen"), "{}", verdicts[0]);
    assert_eq!(failing(verdicts), ["share"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn sticky_when_it_should_not_be(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::Sticky).await?;
    // One after the other, so that the first choices are a third each and the shares are fair all the same.
    let traffic = test.send(Load::requests(360).concurrency(1).from(sources(12))).await?;
    assert_eq!(failing(round_robin(&traffic, &web)), ["affinity"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn one_request_in_a_hundred_lost(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::Drops(100)).await?;
    let traffic = test.send(Load::requests(300).from(sources(12))).await?;
    assert_eq!(failing(round_robin(&traffic, &web)), ["failover"]);
    assert_eq!(traffic.misses().count(), 3);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_source_other_than_promised(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::None).await?;
    let traffic = test.send(Load::requests(30)).await?;
    // A proxy of this kind is not transparent.
    assert_eq!(failing([traffic.source(Sees::Client)]), ["source"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn clients_that_move_without_reason(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let expected = [(Choice::BySource, &[][..]), (Choice::BySourceModulo, &["disruption"])];
    for (port, (choice, expected)) in (80..).zip(expected) {
        let proxy = Proxy::start(&lb, port, &web, choice, Fault::None).await?;
        let test = LbTest::new([&client], [vip(port)]);
        let before = test.send(Load::requests(120).from(sources(12))).await?;
        before.affinity(Key::Source).always().holds()?;
        proxy.remove(&web[0]);
        let after = test.send(Load::requests(120).from(sources(12))).await?;
        let disruption = before.disruption(&after, Key::Source).left(&web[0]).at_most(0.0);
        println!("{choice:?}: {disruption}");
        assert_eq!(failing([disruption]), expected);
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn draining_in_two_halves(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let expected = [
        (Fault::None, &[][..]),
        (Fault::IgnoresDrain, &["drain, nothing new"]),
        (Fault::CutsOnDrain, &["drain, open connections"]),
    ];
    serve(&web, Over::Tcp).await?;
    for (port, (fault, expected)) in (80..).zip(expected) {
        let proxy = Proxy::start(&lb, port, &web, Choice::RoundRobin, fault).await?;
        let test = LbTest::new([&client], [vip(port)]);
        let (kept, fresh) = kept_and_fresh(&test).await?;
        let began = test.now();
        proxy.drain(&web[0]);
        let drained = test.now();
        fresh.until(|fresh| fresh.since(drained).answers().count() >= MANY).await?;
        let end = test.now();
        kept.until(|kept| kept.since(end).answers().count() >= MANY).await?;
        let (kept, fresh) = (kept.stop().await?, fresh.stop().await?);
        let verdicts = [
            fresh.drain(&web[0], began).nothing_new(drained - began),
            kept.drain(&web[0], began).keeps_open(end - began),
        ];
        assert_eq!(failing(verdicts.clone()), expected, "{fault:?}\n{}\n{}", verdicts[0], verdicts[1]);
    }
    Ok(())
}

/// A backend that is taken out and put back again and again, while nothing is wrong with it.
#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_backend_that_comes_and_goes(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    for (port, times, expected) in [(80, 0, &[][..]), (81, 3, &["health, flapping"][..])] {
        let proxy = Proxy::start(&lb, port, &web, Choice::RoundRobin, Fault::None).await?;
        let test = LbTest::new([&client], [vip(port)]);
        let load = test.start(Load::rate(400.0, Duration::from_secs(30)))?;
        load.until(|load| load.answers().count() >= MANY && answered_by(load, &web[0])).await?;
        for _ in 0..times {
            let gone = test.now();
            proxy.weigh(&[(&web[0], 0), (&web[1], 1), (&web[2], 1)]);
            load.until(|load| load.since(gone).answers().count() >= MANY).await?;
            let back = test.now();
            proxy.weigh(&[(&web[0], 1), (&web[1], 1), (&web[2], 1)]);
            load.until(|load| answered_by(&load.since(back), &web[0])).await?;
        }
        let seen = load.stop().await?;
        let others = [seen.loses(Misses::none()), seen.source(Sees::Balancer([10, 2, 0, 254].into()))];
        let flapping = seen.health(&web[0]).flaps(2, MANY / 2);
        println!("{flapping}");
        assert_eq!(failing(others.into_iter().chain([flapping])), expected);
    }
    Ok(())
}
