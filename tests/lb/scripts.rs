//! Six scenarios that the load balancer loxilb is tested with by shell scripts, each as a test here. The balancer is nftables; what
//! is sent and what has to come of it is the scripts', and mostly more. `docs/load-balancers.md` has the comparison.
//!
//! The scripts are folders of <https://github.com/loxilb-io/loxilb/tree/main/cicd>, each with a `config.sh` that makes the network and the
//! service, and a `validation.sh` that sends and compares.

use std::time::Duration;

use netlab::lb::{self, Key, LbTest, Load, Misses, Over, Sees, Watch};
use netlab::prelude::*;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::nftables::{By, Dsr, Nat};
use crate::suite::{FALSE_ALARM, MANY, answered_by_others, serve, sources, vips};

/// `tcplb`: backends are chosen in turn, at each address of the service.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn round_robin(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    Nat::new(&lb, By::Turn).give(web.iter().zip([1, 1, 1])).await?;

    for vip in vips() {
        let traffic = LbTest::new([&client], [vip]).send(Load::requests(12).concurrency(1)).await?;
        traffic.share_equally(&web).exactly().holds()?;
    }
    Ok(())
}

/// `wrrtcplb1`: of two backends one gets 80 %, the other 20 %.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn weighted(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let weights = [(&web[0], 8), (&web[1], 2), (&web[2], 0)];
    Nat::new(&lb, By::Turn).give(weights).await?;

    let traffic = LbTest::new([&client], vips()).send(Load::requests(40).concurrency(1)).await?;
    traffic.share(weights.map(|(backend, weight)| (backend, weight.into()))).exactly().holds()?;
    Ok(())
}

/// `tcplbmon`: a backend that fails is taken out, and put back when it has recovered.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn monitored(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let failing = web[0].serve(lb::who(80, "web1")).await?;
    serve(&web[1..], Over::Tcp).await?;
    let nat = Nat::new(&lb, By::Turn);
    nat.give(web.iter().zip([1, 1, 1])).await?;
    lb.spawn(monitor(nat, web.to_vec()));
    let test = LbTest::new([&client], vips());
    let load = test.start(Load::rate(200.0, Duration::from_secs(60)))?;

    load.until(|load| load.answers_by_backend().len() == 3).await?;
    let down = test.now();
    failing.refuse();
    load.until(|load| answered_by_others(&load.since(down), &web[0])).await?;
    let noticed = test.now();
    load.until(|load| load.since(noticed).answers().count() >= MANY).await?;
    let up = test.now();
    failing.resume()?;
    load.until(|load| load.since(up).answers_by_backend().len() == 3).await?;
    let back = test.now();
    load.until(|load| load.since(back).answers().count() >= MANY).await?;
    let traffic = load.stop().await?;

    traffic.before(down).loses(Misses::none()).holds()?;
    traffic.before(up).health(&web[0]).leaves(noticed, Duration::ZERO).holds()?;
    traffic.since(noticed).loses(Misses::none()).holds()?;
    traffic.since(back).share_equally(&web).within(4).holds()?;
    Ok(())
}

/// `tcplbhash`: connections from one address and port come to one backend.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn hashed(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    Nat::new(&lb, By::Flow).give(web.iter().zip([1, 1, 1])).await?;

    let ports = (55_000..55_060).map(|port| ([10, 1, 0, 1], port).into());
    let traffic = LbTest::new([&client], vips()).send(Load::requests(720).from(ports)).await?;
    traffic.affinity(Key::SourceAndPort).always().holds()?;
    traffic.share_equally(&web).counting(Key::SourceAndPort).by_chance(FALSE_ALARM).holds()?;
    Ok(())
}

/// `tcplbdsr1`: backends have the service's address, and answer past the balancer.
#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn direct_server_return(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    for backend in &web {
        lb::dsr(backend, Dsr::VIPS[0])?;
    }
    let dsr = Dsr::new(&lb, By::Flow);
    dsr.give(web.iter().zip([1, 1, 1])).await?;
    dsr.announce()?;

    let watch = Watch::begin(&lb)?;
    let load = Load::requests(120).keep_connections(60).answers_of(20_000);
    let traffic = LbTest::new([&client], [(Dsr::VIPS[0], 80).into()]).send(load).await?;
    traffic.return_path(&watch.sent()?).bypasses().holds()?;
    traffic.share_equally(&web).counting(Key::Connection).by_chance(FALSE_ALARM).holds()?;
    traffic.source(Sees::ClientAndPort).holds()?;
    Ok(())
}

/// `udplb-persist`: datagrams from one address come to one backend, from whichever port.
#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn udp_affinity(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Udp).await?;
    Nat::new(&lb, By::Source).give(web.iter().zip([1, 1, 1])).await?;

    let test = LbTest::new([&client], vips()).over(Over::Udp);
    let traffic = test.send(Load::requests(120).from(sources(12))).await?;
    traffic.affinity(Key::Source).always().holds()?;
    traffic.share_equally(&web).counting(Key::Source).by_chance(FALSE_ALARM).holds()?;
    traffic.loses(Misses::none()).holds()?;
    Ok(())
}

/// Gives connections to those backends alone that take one themselves. Nothing is told of a server's failing: it has to be tried,
/// ten times a second.
async fn monitor(nat: Nat, web: Vec<Node>) -> netlab::Result {
    let mut period = interval(Duration::from_millis(100));
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = vec![1; web.len()];
    loop {
        period.tick().await;
        let mut healthy = Vec::new();
        for backend in &web {
            let takes = timeout(Duration::from_secs(1), TcpStream::connect((backend.addr(), 80))).await;
            healthy.push(u32::from(matches!(takes, Ok(Ok(_)))));
        }
        if healthy != known {
            nat.give(web.iter().zip(healthy.iter().copied())).await?;
            known = healthy;
        }
    }
}
