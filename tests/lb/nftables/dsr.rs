//! Direct server return: the balancer gives the packet to a backend as it is, but for the hardware address, and the backend answers
//! the client itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlab::lb::{self, Key, LbTest, Load, Miss, Misses, Over, Sees, Traffic, Verdict, Watch};
use netlab::prelude::*;

use super::faults::drain;
use super::rules::{By, backends, load};
use crate::suite::{Balancer, FALSE_ALARM, Kept, Promises, failing, serve, sources, whole};

/// The table `netdev lb` on a node, which sees packets before the node's own stack does.
#[derive(Clone, Debug)]
pub struct Dsr {
    lb: Node,
    by: By,
    /// Whether a flow stays with its backend when the backends change.
    remembers: bool,
}

impl Dsr {
    /// The addresses of the service, which the balancer and all backends have.
    pub const VIPS: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::new(10, 1, 0, 80)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x80)),
    ];

    /// A balancer without memory: every packet's backend is computed anew.
    pub fn new(lb: &Node, by: By) -> Self {
        Self { lb: lb.clone(), by, remembers: false }
    }

    /// Remembers the backend of each flow, for a minute after its last packet.
    pub fn remembering(self) -> Self {
        Self { remembers: true, ..self }
    }

    /// Gives packets to these backends from now on.
    pub async fn give<'n>(&self, weights: impl IntoIterator<Item = (&'n Node, u32)>) -> netlab::Result {
        let backends = backends(weights)?;
        let own = self.lb.iface("eth0")?.mac.map(|mac| mac.to_string()).unwrap_or_default();
        // Flows are known by a hash: `nft` 1.0.6 has no room for an IPv6 address and a port beside what is to be remembered of them.
        let mut rules = String::from(
            "table netdev lb {
                map flows { type mark : ether_addr; flags dynamic,timeout; timeout 1m; size 65535; }
                chain pass { type filter hook ingress device eth0 priority filter; }
            }
            flush chain netdev lb pass
            ",
        );
        for (ip, vip) in ["ip", "ip6"].into_iter().zip(Dsr::VIPS) {
            let request = format!("{ip} daddr {vip} meta l4proto {{ tcp, udp }} th dport 80");
            // From the balancer, or a switch would take it for the client.
            let pass = |to: &str| {
                format!(
                    "add rule netdev lb pass {request} ether daddr set {to} ether saddr set {own} fwd to eth0\n"
                )
            };
            let mut note = "";
            if self.remembers {
                rules += &format!(
                    "add rule netdev lb pass {request} meta mark set jhash {ip} saddr . th sport mod 0xffffffff seed 0x1\n"
                );
                rules += &pass("meta mark map @flows");
                note = "update @flows { meta mark : ether daddr }";
            }
            if let Some(map) = self.by.map(ip, &backends, |backend| backend.mac.clone()) {
                rules += &pass(&format!("{map} {note}"));
            }
        }
        load(&self.lb, &rules).await
    }

    /// The balancer has the service's addresses, and is the one who says so.
    pub fn announce(&self) -> netlab::Result {
        for vip in Dsr::VIPS {
            self.lb.add_address("eth0", vip)?;
        }
        Ok(())
    }
}

fn vips() -> [SocketAddr; 2] {
    Dsr::VIPS.map(|vip| (vip, 80).into())
}

/// Backends as they should be, and a balancer that gives them equal shares.
async fn bench(client: &Node, web: &[Node], dsr: Dsr) -> netlab::Result<LbTest> {
    serve(web, Over::Tcp).await?;
    for backend in web {
        for vip in Dsr::VIPS {
            lb::dsr(backend, vip)?;
        }
    }
    dsr.give(web.iter().zip([1; 3])).await?;
    dsr.announce()?;
    Ok(LbTest::new([client], vips()))
}

/// What is promised where a flow's hash says its backend.
fn by_flow(traffic: &Traffic, web: &[Node]) -> Vec<Verdict> {
    vec![
        traffic.share_equally(web).ignoring_misses().by_chance(FALSE_ALARM),
        traffic.affinity(Key::Connection).always(),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn both_families_over_tcp_and_udp(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &web, Dsr::new(&lb, By::Flow)).await?;
    for over in [Over::Tcp, Over::Udp] {
        let watch = Watch::begin(&lb)?;
        let load = Load::requests(240).keep_connections(120).answers_of(20_000);
        let traffic = test.clone().over(over).send(load).await?;
        println!("{}", traffic.summary());
        let past = traffic.return_path(&watch.sent()?).bypasses();
        for verdict in by_flow(&traffic, &web).into_iter().chain([past]) {
            verdict.holds()?;
        }
        let of_v4 = traffic.answers().filter(|(request, _)| request.source.is_ipv4()).count();
        assert_eq!(of_v4, 120);
    }
    Ok(())
}

/// What [`whole`] is run against.
struct Whole(Dsr);

impl Balancer for Whole {
    fn promises() -> Promises {
        Promises {
            over: Over::Tcp,
            vips: vips().to_vec(),
            exact: true,
            sees: Sees::ClientAndPort,
            // What nobody takes is the balancer's own, where nobody listens.
            none_left: vec![Miss::Refused],
            notices: Duration::ZERO,
            kept: Kept::Stays,
        }
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        let dsr = Dsr::new(lb, By::Turn).remembering();
        for (backend, vip) in web.iter().flat_map(|backend| Dsr::VIPS.map(|vip| (backend, vip))) {
            lb::dsr(backend, vip)?;
        }
        dsr.give(web.iter().map(|backend| (backend, 1))).await?;
        dsr.announce()?;
        Ok(Self(dsr))
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.0.give(weights.iter().copied()).await
    }
}

#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn with_a_memory_of_flows(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Whole>(&client, &lb, &web).await
}

/// Without a memory a drained backend loses what it has: the next packet of a connection goes to another, which knows nothing of it.
#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn without_a_memory_draining_cuts(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let dsr = Dsr::new(&lb, By::Flow);
    let test = bench(&client, &web, dsr.clone()).await?;
    let verdicts = drain(&test, &web[0], async || dsr.give(web.iter().zip([0, 1, 1])).await).await?;
    assert_eq!(failing(verdicts), ["drain, open connections"]);
    Ok(())
}

/// In turn, packet by packet, is good for a datagram and its answer, and breaks every connection that has more packets than one.
#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn turns_without_a_memory(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &web, Dsr::new(&lb, By::Turn)).await?;
    let promised = |traffic: &Traffic| {
        failing([
            traffic.share_equally(&web).ignoring_misses().by_chance(FALSE_ALARM),
            traffic.loses(Misses::none()),
            traffic.source(Sees::ClientAndPort),
        ])
    };
    let one_by_one = Load::requests(60).concurrency(1).from(sources(12));
    let datagrams = test.clone().over(Over::Udp).send(one_by_one.clone()).await?;
    datagrams.share_equally(&web).exactly().holds()?;
    assert_eq!(promised(&datagrams), [""; 0]);
    // The handshake's third packet already goes to another backend.
    let connections = test.send(one_by_one).await?;
    println!("{}", connections.summary());
    assert!(promised(&connections).contains(&"failover"));
    Ok(())
}

/// One backend sends what it has for clients to the balancer, as if that were their router. It has to be told to forward what comes from
/// an address of its own (`accept_local`), and not to say that there is a shorter way (`send_redirects`).
#[netlab::test(topology = "
    net    front   10.1.0.0/24  2001:db8:1::/64
    node   client  front=.1,.2,.3,.4,.5,.6,.7,.8,.9,.10,.11,.12,::1
    router lb      front=.254,::fe  sysctl(net.ipv4.conf.all.accept_local=1) sysctl(net.ipv4.conf.all.send_redirects=0) sysctl(net.ipv4.conf.eth0.send_redirects=0)
    node   web[2]  front=.101,::101
    node   astray  front=.103,::103  route(10.1.0.0/28 via=lb)
")]
async fn one_answers_through_the_balancer(
    client: Node,
    lb: Node,
    web: [Node; 2],
    astray: Node,
) -> netlab::Result {
    let web = [&web[0], &web[1], &astray].map(Node::clone);
    let test = bench(&client, &web, Dsr::new(&lb, By::Flow)).await?;
    let watch = Watch::begin(&lb)?;
    let traffic = test.send(Load::requests(120).keep_connections(60).answers_of(20_000)).await?;
    let verdicts =
        by_flow(&traffic, &web).into_iter().chain([traffic.return_path(&watch.sent()?).bypasses()]);
    assert_eq!(failing(verdicts), ["return path"]);
    Ok(())
}

/// Backends, of which the first is made one by `first`, and a balancer that does not say that it has the service's addresses: whoever
/// says so is a backend. (Where both say so it is a race who is believed.)
async fn unannounced(
    client: &Node,
    lb: &Node,
    web: &[Node],
    first: impl Fn(&Node) -> netlab::Result,
) -> netlab::Result<LbTest> {
    serve(web, Over::Tcp).await?;
    first(&web[0])?;
    for (backend, vip) in web[1..].iter().flat_map(|backend| Dsr::VIPS.map(|vip| (backend, vip))) {
        lb::dsr(backend, vip)?;
    }
    Dsr::new(lb, By::Flow).give(web.iter().zip([1; 3])).await?;
    // Three questions without an answer, a tenth of a second apart, and the client gives up.
    for family in ["ipv4", "ipv6"] {
        client.set_sysctl(&format!("net.{family}.neigh.eth0.retrans_time_ms"), 100)?;
    }
    Ok(LbTest::new([client], vips()))
}

#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn backends_keep_silent_about_the_address(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let right = |backend: &Node| Dsr::VIPS.into_iter().try_for_each(|vip| Ok(lb::dsr(backend, vip)?));
    let test = unannounced(&client, &lb, &web, right).await?;
    let limit = Duration::from_secs(5);
    let traffic = test.send(Load::requests(6).timeout(limit)).await?;
    traffic.all_fail(&[Miss::Unreachable], limit).holds()?;

    Dsr::new(&lb, By::Flow).announce()?;
    let traffic = test.send(Load::requests(240).keep_connections(120)).await?;
    by_flow(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    Ok(())
}

/// The address without the rest of the preset: the backend answers for it, and then has all requests, which the balancer never sees.
#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn a_backend_answers_for_the_address(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let wrong = |backend: &Node| {
        backend.add_address("lo", Dsr::VIPS[0])?;
        // By IPv6 it takes an address on the interface: for one on `lo` nobody answers.
        backend.add_address("eth0", Dsr::VIPS[1])?;
        Ok(())
    };
    let test = unannounced(&client, &lb, &web, wrong).await?;
    let traffic = test.send(Load::requests(240).keep_connections(120)).await?;
    for v4 in [true, false] {
        let family = traffic.only(|request| request.source.is_ipv4() == v4);
        assert_eq!(failing(by_flow(&family, &web)), ["share"], "{}", family.summary());
        assert_eq!(family.answers_by_backend().keys().collect::<Vec<_>>(), [&"web1"]);
    }
    Ok(())
}

/// Of the preset's two settings for ARP the second: the backend is silent when it is asked, but asks in the service's name.
#[netlab::test(topology = "tests/topologies/segment.topo")]
async fn a_backend_asks_in_the_name_of_the_address(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &web, Dsr::new(&lb, By::Flow)).await?;
    // An answer may replace another at once, not only after a second.
    client.set_sysctl("net.ipv4.neigh.eth0.locktime", 0)?;
    web[0].set_sysctl("net.ipv4.conf.all.arp_announce", 0)?;
    let traffic = test.send(Load::requests(240).concurrency(1).from(sources(12))).await?;
    let share = traffic.share_equally(&web).by_chance(FALSE_ALARM);
    println!("{share}");
    assert!(!share.is_ok());
    Ok(())
}
