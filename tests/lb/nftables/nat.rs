//! Translation of addresses: each new connection is given a backend, and connection tracking remembers which.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Miss, Misses, Over, Sees, Watch};
use netlab::prelude::*;

use super::rules::{Backend, By, backends, load};
use crate::suite::{Balancer, FALSE_ALARM, Kept, Promises, failing, serve, sources, vips, whole};

/// The table `inet lb` on a router, which may be reconfigured while it runs.
#[derive(Clone, Debug)]
pub struct Nat {
    lb: Node,
    by: By,
    /// Whether backends see the balancer's address rather than the client's.
    masquerades: bool,
}

impl Nat {
    pub fn new(lb: &Node, by: By) -> Self {
        Self { lb: lb.clone(), by, masquerades: false }
    }

    /// Has backends see the balancer's address.
    pub fn masquerading(self) -> Self {
        Self { masquerades: true, ..self }
    }

    /// Gives new connections to these backends by these weights from now on, in one transaction. Connections that there are keep
    /// their backends: rules of a chain of the type `nat` are asked about the first packet alone.
    pub async fn give<'n>(&self, weights: impl IntoIterator<Item = (&'n Node, u32)>) -> netlab::Result {
        load(&self.lb, &self.rules(&backends(weights)?)).await
    }

    /// Has what is tracked of a backend forgotten, and says how many connections that were: their next packets are first packets.
    pub fn forget(&self, backend: &Node) -> netlab::Result<usize> {
        let addrs: [IpAddr; 2] = [backend.addr4().into(), backend.addr6().into()];
        Ok(self.lb.forget_flows(|flow| addrs.contains(&flow.reply.source.ip()))?)
    }

    /// The chains are made, emptied and filled anew: whatever was there before, this is what there is after.
    pub fn rules(&self, backends: &[Backend]) -> String {
        let mut rules = String::from(
            "table inet lb {
                chain choose { type nat hook prerouting priority dstnat; }
                chain leave { type nat hook postrouting priority srcnat; }
            }
            flush table inet lb
            ",
        );
        for ((ip, vip), family) in ["ip", "ip6"].into_iter().zip(vips()).zip(0..) {
            if let Some(map) = self.by.map(ip, backends, |backend| backend.addrs[family]) {
                let (vip, port) = (vip.ip(), vip.port());
                rules += &format!(
                    "add rule inet lb choose {ip} daddr {vip} meta l4proto {{ tcp, udp }} th dport {port} dnat {ip} to {map}\n"
                );
            }
        }
        if self.masquerades {
            rules += "add rule inet lb leave ct status dnat masquerade\n";
        }
        rules
    }
}

/// What [`whole`] is run against: which choice, and what is spoken.
trait Kind {
    const BY: By = By::Turn;
    const OVER: Over = Over::Tcp;
    const MASQUERADES: bool = false;
}

struct InTurn;
struct InTurnOverUdp;
struct ByChance;
struct ByFlow;
struct Masqueraded;

impl Kind for InTurn {}

impl Kind for InTurnOverUdp {
    const OVER: Over = Over::Udp;
}

impl Kind for ByChance {
    const BY: By = By::Chance;
}

impl Kind for ByFlow {
    const BY: By = By::Flow;
}

impl Kind for Masqueraded {
    const MASQUERADES: bool = true;
}

struct Whole<K> {
    nat: Nat,
    kind: PhantomData<K>,
}

impl<K: Kind> Balancer for Whole<K> {
    fn promises() -> Promises {
        let sees =
            if K::MASQUERADES { Sees::Balancer(IpAddr::from([10, 2, 0, 254])) } else { Sees::ClientAndPort };
        // Backends see a balancer's address of one family or the other.
        let vips = if K::MASQUERADES { vips()[..1].to_vec() } else { vips().to_vec() };
        Promises {
            over: K::OVER,
            vips,
            exact: K::BY == By::Turn,
            sees,
            // Without a rule the packets are the balancer's own, where nobody listens.
            none_left: vec![Miss::Refused],
            notices: Duration::ZERO,
            kept: Kept::Stays,
        }
    }

    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        let nat = Nat { lb: lb.clone(), by: K::BY, masquerades: K::MASQUERADES };
        nat.give(web.iter().map(|backend| (backend, 1))).await?;
        Ok(Self { nat, kind: PhantomData })
    }

    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result {
        self.nat.give(weights.iter().copied()).await
    }
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn in_turn(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Whole<InTurn>>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn in_turn_over_udp(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Whole<InTurnOverUdp>>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn by_chance(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Whole<ByChance>>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn by_flow(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Whole<ByFlow>>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn masqueraded(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    whole::<Whole<Masqueraded>>(&client, &lb, &web).await
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn masqueraded_by_ipv6(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    Nat::new(&lb, By::Turn).masquerading().give(web.iter().zip([1; 3])).await?;
    let traffic = LbTest::new([&client], [vips()[1]]).send(Load::requests(30).concurrency(1)).await?;
    traffic.share_equally(&web).exactly().holds()?;
    traffic.source(Sees::Balancer([0x2001, 0xdb8, 2, 0, 0, 0, 0, 0xfe].into())).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn by_source(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let nat = Nat::new(&lb, By::Source);
    nat.give(web.iter().zip([1; 3])).await?;
    for over in [Over::Tcp, Over::Udp] {
        let test = LbTest::new([&client], vips()).over(over);
        let traffic = test.send(Load::requests(120).from(sources(12))).await?;
        traffic.affinity(Key::Source).always().holds()?;
        traffic.share_equally(&web).counting(Key::Source).by_chance(FALSE_ALARM).holds()?;
        traffic.loses(Misses::none()).holds()?;
        traffic.source(Sees::ClientAndPort).holds()?;
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn one_that_leaves_moves_clients_of_others(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let nat = Nat::new(&lb, By::Source);
    nat.give(web.iter().zip([1; 3])).await?;
    let test = LbTest::new([&client], vips());
    let before = test.send(Load::requests(120).from(sources(12))).await?;
    nat.give(web[1..].iter().zip([1; 2])).await?;
    let after = test.send(Load::requests(120).from(sources(12))).await?;
    // A hash modulo how many there are is not consistent: of those whose backend stays, every second one or so is moved.
    let disruption = before.disruption(&after, Key::Source).left(&web[0]);
    println!("{}", disruption.clone().at_most(1.0));
    disruption.clone().at_most(1.0).holds()?;
    assert_eq!(failing([disruption.at_most(0.1)]), ["disruption"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/nat.topo")]
async fn answers_come_back_through_it(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    Nat::new(&lb, By::Turn).give(web.iter().zip([1; 3])).await?;
    for over in [Over::Tcp, Over::Udp] {
        let watch = Watch::begin(&lb)?;
        let test = LbTest::new([&client], vips()).over(over);
        let traffic = test.send(Load::requests(60).answers_of(20_000)).await?;
        traffic.return_path(&watch.sent()?).passes().holds()?;
    }
    Ok(())
}
