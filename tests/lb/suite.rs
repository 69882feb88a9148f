//! What every balancer has to show, whichever it is: the toolkit, run whole against one.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Miss, Misses, Over, Sees, Traffic, Underway, Verdict, who};
use netlab::prelude::*;

/// How often a right balancer may fail a check of chance.
pub const FALSE_ALARM: f64 = 1e-9;

/// Where balancers are reached: the addresses of `lb` on the clients' side.
pub fn vips() -> [SocketAddr; 2] {
    [([10, 1, 0, 254], 80).into(), ([0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe], 80).into()]
}

/// The client's addresses `10.1.0.1` and up, with any port.
pub fn sources(number: u8) -> Vec<SocketAddr> {
    assert!(number <= 12, "the client has 12 addresses");
    (1..=number).map(|last| ([10, 1, 0, last], 0).into()).collect()
}

/// Has each backend say who it is, on port 80.
pub async fn serve(web: &[Node], over: Over) -> netlab::Result {
    for backend in web {
        match over {
            Over::Http => drop(backend.serve(servers::identity(80)).await?),
            Over::Tcp | Over::Udp => drop(backend.serve(who(80, backend)).await?),
        }
    }
    Ok(())
}

/// The names of the checks that fail.
pub fn failing(verdicts: impl IntoIterator<Item = Verdict>) -> Vec<&'static str> {
    verdicts.into_iter().filter(|verdict| !verdict.is_ok()).map(|verdict| verdict.check()).collect()
}

/// A balancer that runs on the node `lb`, and listens on port 80 of [`vips`].
pub trait Balancer: Sized {
    /// What it promises.
    fn promises() -> Promises;

    /// Starts it for these backends, which get equal shares; it answers when this returns.
    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self>;

    /// From now on the backends have these weights. One of weight 0 is drained: it keeps the connections that it has, and gets no
    /// new ones.
    async fn set_weights(&mut self, weights: &[(&Node, u32)]) -> netlab::Result;
}

/// What becomes of a connection that a client keeps for many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stays with its backend.
    Stays,
    /// It has none: one is chosen for each of its requests, as proxies of HTTP do.
    ChosenForEachRequest,
    /// Likewise; and when the balancer changes, it closes what is idle. A client that asks at that moment has to ask again
    /// (RFC 9112, 9.5).
    ClosedWhenIdle,
}

/// What a balancer promises.
#[derive(Clone, Debug)]
pub struct Promises {
    /// What is spoken through it.
    pub over: Over,
    /// By which of its addresses it is reached.
    pub vips: Vec<SocketAddr>,
    /// Whether shares come out to the request where requests come one after the other; otherwise they do by chance.
    pub exact: bool,
    /// Whom backends see.
    pub sees: Sees,
    /// What becomes of a request when no backend is left.
    pub none_left: Vec<Miss>,
    /// How long it may take to notice what it is told.
    pub notices: Duration,
    /// What becomes of a connection that a client keeps.
    pub kept: Kept,
}

impl Promises {
    /// What a proxy in one process promises, whose own connections to backends come from the node `lb`: it does round robin.
    pub fn of_a_proxy(over: Over, none_left: impl Into<Vec<Miss>>) -> Self {
        Self {
            over,
            vips: vips().to_vec(),
            exact: true,
            sees: Sees::Balancer([10, 2, 0, 254].into()),
            none_left: none_left.into(),
            notices: Duration::ZERO,
            kept: Kept::Stays,
        }
    }
}

/// Runs everything; `lb`'s balancer must keep all of its promises.
pub async fn whole<B: Balancer>(client: &Node, lb: &Node, web: &[Node]) -> netlab::Result {
    let promises = B::promises();
    serve(web, promises.over).await?;
    let mut balancer = B::start(lb, web).await?;
    let test = LbTest::new([client], promises.vips.clone()).over(promises.over);
    let bench = Bench { test, promises, client: client.clone(), next_port: AtomicU16::new(10_000) };

    shares(&bench, &mut balancer, web).await?;
    changes_under_load(&bench, &mut balancer, web).await?;
    no_backend_left(&bench, &mut balancer, web).await
}

/// A balancer under test, and the ports that its client has not yet used.
struct Bench {
    test: LbTest,
    promises: Promises,
    client: Node,
    /// Below those that the kernel gives by itself (`net.ipv4.ip_local_port_range`).
    next_port: AtomicU16,
}

impl Bench {
    /// The load as it is to be sent so that everything new in it is new to the balancer too. A connection of TCP ends with its socket. A
    /// flow of UDP ends when the balancer forgets it, which may be minutes later: until then whoever has the same port by chance is
    /// given the same backend. So no port is used by two of them.
    fn fresh(&self, load: Load, flows: u64) -> Load {
        if self.promises.over != Over::Udp {
            return load;
        }
        let flows = u16::try_from(flows).expect("a load has fewer flows than there are ports");
        let first = self.next_port.fetch_add(flows, Ordering::Relaxed);
        assert!(first < 32_768 - flows, "no port is left");
        let address = |vip: &SocketAddr| -> IpAddr {
            if vip.is_ipv4() { self.client.addr4().into() } else { self.client.addr6().into() }
        };
        let addresses = self.promises.vips.iter().map(address).cycle();
        load.from((first..first + flows).zip(addresses).map(|(port, addr)| (addr, port).into()))
    }
}

/// Shares by weight, equal and not; nothing is lost, and backends see whom they should.
async fn shares<B: Balancer>(bench: &Bench, balancer: &mut B, web: &[Node]) -> netlab::Result {
    let Bench { test, promises, .. } = bench;
    for weights in [vec![1; web.len()], (1..=web.len() as u32).collect(), vec![1; web.len()]] {
        let weighted: Vec<_> = web.iter().zip(weights.iter().copied()).collect();
        balancer.set_weights(&weighted).await?;
        let shares = weighted.iter().map(|(backend, weight)| (*backend, u64::from(*weight)));
        let traffic = test.send(bench.fresh(Load::requests(120).concurrency(1), 120)).await?;
        println!("{}", traffic.summary());
        let share = traffic.share(shares);
        if promises.exact { share.exactly() } else { share.by_chance(FALSE_ALARM) }.holds()?;
        traffic.loses(Misses::none()).holds()?;
        traffic.source(promises.sees).holds()?;
    }
    Ok(())
}

/// A backend is drained under load and comes back: no request is lost, connections that were open live on, and clients that keep
/// theirs stay where they were.
async fn changes_under_load<B: Balancer>(bench: &Bench, balancer: &mut B, web: &[Node]) -> netlab::Result {
    let Bench { test, promises, .. } = bench;
    let one = &web[0];
    let drained: Vec<_> = web.iter().enumerate().map(|(n, backend)| (backend, u32::from(n > 0))).collect();
    let back: Vec<_> = web.iter().map(|backend| (backend, 1)).collect();
    let enough = Load::rate(200.0, Duration::from_secs(30));

    // So many that chance leaves no backend without one; and before the others are sent, so that turns do not.
    let connections = 12 * web.len();
    let kept = enough.clone().keep_connections(connections);
    let kept = test.start(bench.fresh(kept, connections as u64))?;
    kept.until(|kept| kept.observations().len() >= connections && answered_by(kept, one)).await?;
    let fresh = test.start(bench.fresh(enough.clone(), enough.total()))?;
    let began = test.now();
    balancer.set_weights(&drained).await?;
    let drained_at = test.now();
    fresh.until(|fresh| fresh.since(drained_at + promises.notices).answers().count() >= 50).await?;
    let returns = test.now();
    balancer.set_weights(&back).await?;
    fresh.until(|fresh| answered_by(&fresh.since(returns), one)).await?;
    kept.until(|kept| answered_by(&kept.since(returns), one)).await?;
    let (kept, fresh) = (kept.stop().await?, fresh.stop().await?);

    // What was sent before, but is answered after, may be the backend's again.
    let until_then = |load: &Traffic| load.before(returns);
    let until = returns - began;
    let notices = promises.notices;
    let mut verdicts = vec![
        until_then(&fresh).drain(one, began).nothing_new(drained_at - began + notices),
        fresh.loses(Misses::none()),
    ];
    match promises.kept {
        Kept::Stays => verdicts.extend([
            kept.drain(one, began).keeps_open(until),
            kept.affinity(Key::Connection).always(),
            kept.loses(Misses::none()),
        ]),
        Kept::ChosenForEachRequest => verdicts
            .extend([until_then(&kept).health(one).leaves(drained_at, notices), kept.loses(Misses::none())]),
        // It changed twice.
        Kept::ClosedWhenIdle => verdicts.extend([
            until_then(&kept).health(one).leaves(drained_at, notices),
            kept.loses(Misses::at_most(2 * connections as u64)),
        ]),
    }
    for verdict in verdicts {
        verdict.holds()?;
    }
    Ok(())
}

/// So many connections that chance leaves none of three backends without one: it would in 4.6 of ten million runs.
pub const KEPT: usize = 36;

/// Two loads for a time, of 200 requests a second each: one by [`KEPT`] connections, which are open when this returns, and one whose
/// requests have one each. Those that are kept are opened before any other, so that a balancer that goes by turns is not in step with them.
pub async fn kept_and_fresh(test: &LbTest) -> netlab::Result<(Underway, Underway)> {
    let enough = Load::rate(200.0, Duration::from_secs(60));
    let kept = test.start(enough.clone().keep_connections(KEPT))?;
    kept.until(|kept| kept.observations().len() >= KEPT).await?;
    Ok((kept, test.start(enough)?))
}

pub fn answered_by(traffic: &Traffic, backend: &Node) -> bool {
    traffic.answers().any(|(_, answer)| answer.backend == backend.name())
}

/// With no backend left, requests fail at once, as promised; with one again they are answered.
async fn no_backend_left<B: Balancer>(bench: &Bench, balancer: &mut B, web: &[Node]) -> netlab::Result {
    let Bench { test, promises, .. } = bench;
    let nobody: Vec<_> = web.iter().map(|backend| (backend, 0)).collect();
    balancer.set_weights(&nobody).await?;
    let limit = Duration::from_secs(1);
    let traffic = test.send(bench.fresh(Load::requests(6).timeout(limit), 6)).await?;
    traffic.all_fail(&promises.none_left, limit * 2).holds()?;

    balancer.set_weights(&[(&web[0], 1)]).await?;
    let traffic = test.send(bench.fresh(Load::requests(6), 6)).await?;
    traffic.share_equally([&web[0]]).exactly().holds()?;
    Ok(())
}

/// So many answers in a row by others tell that a backend is out: by chance one of three would be among them.
pub const MANY: usize = 60;

/// Whether the last [`MANY`] requests were all answered, and by others.
pub fn answered_by_others(traffic: &Traffic, than: &Node) -> bool {
    let last = traffic.observations().iter().rev().take(MANY);
    let others = |name: &str| name != than.name();
    last.len() == MANY && last.clone().all(|request| request.backend().is_some_and(others))
}
