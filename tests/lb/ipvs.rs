//! IPVS, the balancer in the kernel: the three ways of forwarding of its own test (tools/testing/selftests/net/netfilter/ipvs.sh),
//! each with three real servers, and its schedulers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Misses, Sees, Traffic, Verdict, Who, who};
use netlab::prelude::*;
use netlab::servers::Serving;

use crate::ipvs_services::{Director, Forward, Scheduler};
use crate::tunnel;

/// How often a right balancer may fail a check of chance.
const FALSE_ALARM: f64 = 1e-9;

/// The director's address before its backends, and beside them.
const BEFORE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 254)), 80);
const BESIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)), 80);

async fn serve(web: &[Node]) -> netlab::Result<Vec<Serving<Who>>> {
    let mut servers = Vec::new();
    for backend in web {
        servers.push(backend.serve(who(80, backend.name())).await?);
    }
    Ok(servers)
}

/// A director that has these backends, each with its weight.
fn direct(
    lb: &Node,
    vip: SocketAddr,
    scheduler: Scheduler,
    web: &[Node],
    forward: Forward,
    weights: [u32; 3],
) -> netlab::Result<Director> {
    let director = netlab::requires("ipvs", Director::of(lb), "run the test as root, after `modprobe ip_vs`");
    director.add_service(vip, scheduler)?;
    for (backend, weight) in web.iter().zip(weights) {
        director.add_server(vip, server(backend), forward, weight)?;
    }
    Ok(director)
}

fn server(backend: &Node) -> SocketAddr {
    (backend.addr(), 80).into()
}

/// Client addresses `10.1.0.1` and up, any port.
fn sources(number: u8) -> impl Iterator<Item = SocketAddr> {
    (1..=number).map(|last| ([10, 1, 0, last], 0).into())
}

/// One client address, and so many ports of it.
fn ports(number: u16) -> impl Iterator<Item = SocketAddr> {
    (20_000..20_000 + number).map(|port| ([10, 1, 0, 1], port).into())
}

fn shares(web: &[Node], weights: [u64; 3]) -> Vec<(String, u64)> {
    web.iter().map(|backend| backend.name().to_owned()).zip(weights).collect()
}

/// What holds of round robin in every mode of forwarding. The clients are no multiple of the backends, or their turns would coincide.
fn round_robin(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share(shares(web, [1; 3])).exactly(),
        traffic.affinity(Key::Source).absent(3, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

/// Sends a load to backends that answer directly, and sees that no answer came to the balancer: it received from the router no more than
/// the requests.
async fn answered_directly(test: &LbTest, load: Load, lb: &Node, gw: &Node) -> netlab::Result<Traffic> {
    /// Questions for MAC addresses, and what else goes to all.
    const TO_ALL: u64 = 20;
    let (at_lb, at_gw) = (lb.counters()?, gw.counters()?);
    let traffic = test.send(load).await?;
    let sent = at_gw.changed()?;
    let requests = sent.after().interface("eth1")?.tx_packets - sent.before().interface("eth1")?.tx_packets;
    at_lb.changed()?.rx_packets("eth0", traffic.observations().len() as u64..=requests + TO_ALL).check()?;
    Ok(traffic)
}

#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn nat(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    direct(&lb, BEFORE, Scheduler::ROUND_ROBIN, &web, Forward::Nat, [1; 3])?;
    let before = lb.counters()?;
    let test = LbTest::new([&client], [BEFORE]);
    let traffic = test.send(Load::requests(300).concurrency(1).from(sources(10))).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    // At least two packets of each connection are a backend's, and all of these come back.
    before.changed()?.rx_packets("eth1", 600..).tx_packets("eth0", 600..).check()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb_beside.topo")]
async fn direct_routing(client: Node, lb: Node, gw: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    direct(&lb, BESIDE, Scheduler::ROUND_ROBIN, &web, Forward::DirectRouting, [1; 3])?;
    let test = LbTest::new([&client], [BESIDE]);
    let load = Load::requests(300).concurrency(1).from(sources(10));
    let traffic = answered_directly(&test, load, &lb, &gw).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb_far.topo")]
async fn tunnel(client: Node, lb: Node, gw: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    direct(&lb, BESIDE, Scheduler::ROUND_ROBIN, &web, Forward::Tunnel, [1; 3])?;
    for backend in &web {
        netlab::requires("ipip", tunnel::end_at(backend), "load the module as root: `modprobe ipip`");
    }
    let test = LbTest::new([&client], [BESIDE]);
    let load = Load::requests(300).concurrency(1).from(sources(10));
    let traffic = answered_directly(&test, load, &lb, &gw).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    for backend in &web {
        assert!(backend.counters()?.interface(tunnel::NAME)?.rx_packets >= 300);
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn weighted_round_robin(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    direct(&lb, BEFORE, Scheduler::WEIGHTED_ROUND_ROBIN, &web, Forward::Nat, [3, 2, 1])?;
    let test = LbTest::new([&client], [BEFORE]);
    let traffic = test.send(Load::requests(300).concurrency(1)).await?;
    traffic.share(shares(&web, [3, 2, 1])).exactly().holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn source_hashing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    direct(&lb, BEFORE, Scheduler::SOURCE_HASHING, &web, Forward::Nat, [1; 3])?;
    let test = LbTest::new([&client], [BEFORE]);
    let traffic = test.send(Load::requests(240).from(sources(12))).await?;
    traffic.affinity(Key::Source).always().holds()?;
    traffic.share(shares(&web, [1; 3])).counting(Key::Source).by_chance(FALSE_ALARM).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn source_and_port_hashing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    direct(&lb, BEFORE, Scheduler::SOURCE_AND_PORT_HASHING, &web, Forward::Nat, [1; 3])?;
    let test = LbTest::new([&client], [BEFORE]);
    let traffic = test.send(Load::requests(600).from(ports(300))).await?;
    traffic.affinity(Key::SourceAndPort).always().holds()?;
    traffic.affinity(Key::Source).absent(3, FALSE_ALARM).holds()?;
    traffic.share(shares(&web, [1; 3])).counting(Key::SourceAndPort).by_chance(FALSE_ALARM).holds()?;
    Ok(())
}

/// Maglev hashing leaves nearly all clients where they are, and plain hashing does not.
#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn a_server_that_leaves(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web).await?;
    let schedulers = [(Scheduler::MAGLEV_HASHING, true), (Scheduler::SOURCE_AND_PORT_HASHING, false)];
    for (port, (scheduler, holds)) in (8080..).zip(schedulers) {
        let vip = SocketAddr::new(BEFORE.ip(), port);
        let director = direct(&lb, vip, scheduler, &web, Forward::Nat, [1; 3])?;
        let test = LbTest::new([&client], [vip]);
        let before = test.send(Load::requests(300).from(ports(300))).await?;
        director.remove_server(vip, server(&web[0]))?;
        let after = test.send(Load::requests(300).from(ports(300))).await?;
        let disruption = before.disruption(&after, Key::SourceAndPort).left(web[0].name()).at_most(0.05);
        assert_eq!(disruption.is_ok(), holds, "{scheduler:?}: {disruption}");
        after.loses(Misses::none()).holds()?;
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn a_server_of_weight_zero_drains(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let servers = serve(&web).await?;
    let director = direct(&lb, BEFORE, Scheduler::ROUND_ROBIN, &web, Forward::Nat, [1; 3])?;
    let test = LbTest::new([&client], [BEFORE]);
    let kept = test.start(Load::rate(50.0, Duration::from_secs(60)).keep_connections(6))?;
    servers[0].until(|seen| seen.open == 2).await?;
    let began = test.now();
    director.set_weight(BEFORE, server(&web[0]), Forward::Nat, 0)?;
    let fresh = test.send(Load::rate(50.0, Duration::from_secs(1))).await?;
    let kept = kept.stop().await?;
    fresh.drain(web[0].name(), began).nothing_new(Duration::from_millis(50)).holds()?;
    kept.drain(web[0].name(), began).keeps_open(Duration::from_millis(300)).holds()?;
    Ok(())
}

/// The check that is for it fails, the others hold.
#[netlab::test(topology = "tests/topologies/lb_routed.topo")]
async fn persistence_where_there_should_be_none(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let scheduler = Scheduler::ROUND_ROBIN.persistent();
    serve(&web).await?;
    direct(&lb, BEFORE, scheduler, &web, Forward::Nat, [1; 3])?;
    let test = LbTest::new([&client], [BEFORE]);
    let traffic = test.send(Load::requests(300).concurrency(1).from(sources(10))).await?;
    // Each client's first turn is as fair as ever.
    traffic.share(shares(&web, [1; 3])).counting(Key::Source).exactly().holds()?;
    let [_share, affinity, loses, source] = round_robin(&traffic, &web);
    assert!(!affinity.is_ok(), "{affinity}");
    loses.holds()?;
    source.holds()?;
    Ok(())
}
