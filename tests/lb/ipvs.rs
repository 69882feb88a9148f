//! IPVS, the balancer in the kernel: the toolkit whole against it, the three ways of forwarding of its own test
//! (tools/testing/selftests/net/netfilter/ipvs.sh) with three real servers each, and its schedulers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Miss, Misses, Over, Sees, Traffic, Verdict, Watch};
use netlab::prelude::*;

use crate::direct::{ANSWER, answers_go_past, ports};
use crate::ipvs_services::{Director, Forward, Scheduler};
use crate::suite::{self, Balancer, FALSE_ALARM, Promises, failing, serve, sources};
use crate::tunnel;

/// The director's address before its backends, and beside them.
const BEFORE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 254)), 80);
const BESIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)), 80);

/// The address of a backend that a packet to `vip` is sent on to.
fn server(backend: &Node, vip: SocketAddr) -> SocketAddr {
    let addr = if vip.is_ipv4() { backend.addr4().into() } else { backend.addr6().into() };
    SocketAddr::new(addr, 80)
}

/// Weighted round robin, with NAT, for both families.
struct WeightedNat(Director);

impl Balancer for WeightedNat {
    fn promises() -> Promises {
        Promises {
            over: Over::Tcp,
            vips: suite::vips().into(),
            exact: true,
            sees: Sees::ClientAndPort,
            // ICMP: port unreachable (`ip_vs_leave` in net/netfilter/ipvs/ip_vs_core.c).
            none_left: vec![Miss::Refused],
            notices: Duration::ZERO,
        }
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        let director = director_of(lb);
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
async fn whole(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    suite::whole::<WeightedNat>(&client, &lb, &web).await
}

fn director_of(lb: &Node) -> Director {
    netlab::requires("ipvs", Director::of(lb), "run the test as root, after `modprobe ip_vs`")
}

/// Has a director balance what comes to `vip` among these backends, all of the same weight.
fn balance(
    director: &Director,
    vip: SocketAddr,
    scheduler: Scheduler,
    web: &[Node],
    forward: Forward,
) -> netlab::Result {
    director.add_service(vip, scheduler)?;
    for backend in web {
        director.add_server(vip, server(backend, vip), forward, 1)?;
    }
    Ok(())
}

/// What holds of round robin in every way of forwarding, requests coming one after the other. The clients are no multiple of the
/// backends, or their turns would coincide.
fn round_robin(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share_equally(web).exactly(),
        traffic.affinity(Key::Source).absent(3, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

fn one_by_one() -> Load {
    Load::requests(300).concurrency(1).from(sources(10))
}

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
    serve(&web, Over::Tcp).await?;
    let test = LbTest::new([&client], [BESIDE]);
    let traffic = test.send(one_by_one()).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    answers_go_past(&test, &lb, &gw).await
}

#[netlab::test(topology = "tests/topologies/far.topo")]
async fn tunnel(client: Node, lb: Node, gw: Node, web: [Node; 3]) -> netlab::Result {
    balance(&director_of(&lb), BESIDE, Scheduler::ROUND_ROBIN, &web, Forward::Tunnel)?;
    serve(&web, Over::Tcp).await?;
    for backend in &web {
        netlab::requires("ipip", tunnel::end_at(backend), "load the module as root: `modprobe ipip`");
    }
    let test = LbTest::new([&client], [BESIDE]);
    let traffic = test.send(one_by_one()).await?;
    round_robin(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    for backend in &web {
        // What it answered came by the tunnel, at least two packets of each connection.
        assert!(backend.counters()?.interface(tunnel::NAME)?.rx_packets >= 200);
    }
    answers_go_past(&test, &lb, &gw).await
}

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
