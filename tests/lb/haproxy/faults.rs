//! One test for each fault of a configuration: the check that is for it fails, the others hold.

use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Misses, Over, Sees, Traffic, Verdict};
use netlab::prelude::*;
use netlab::servers::{Echo, Serving};

use super::{Config, HaProxy};
use crate::suite::{FALSE_ALARM, answered_by, failing, kept_and_fresh, serve, sources, vips};

/// What noticing may take, of a backend that fails or is well again.
const NOTICED: Duration = Duration::from_secs(2);

/// What was promised: round robin, nothing lost, backends that see HAProxy.
fn promised(traffic: &Traffic, web: &[Node], sees: Sees) -> [Verdict; 4] {
    let verdicts = [
        traffic.share_equally(web).by_chance(FALSE_ALARM),
        traffic.affinity(Key::Source).absent(web.len() as u32, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(sees),
    ];
    for verdict in &verdicts {
        println!("{verdict}");
    }
    verdicts
}

/// Requests one after the other, so that the same number comes from each address; of eleven, so that whoever goes round two or three
/// servers does not come back to the same one with each of them.
async fn sent(client: &Node, lb: &Node, web: &[Node], config: Config) -> netlab::Result<Traffic> {
    serve(web, Over::Tcp).await?;
    HaProxy::start(lb, &config).await?;
    let test = LbTest::new([client], [vips()[0]]);
    Ok(test.send(Load::requests(363).concurrency(1).from(sources(11))).await?)
}

fn balancer() -> Sees {
    Sees::Balancer([10, 2, 0, 254].into())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn none(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let traffic = sent(&client, &lb, &web, Config::tcp()).await?;
    assert_eq!(failing(promised(&traffic, &web, balancer())), [""; 0]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_server_of_weight_0(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let config = Config::tcp().server_lines(
        "server web1 {web1.addr}:80\n    server web2 {web2.addr}:80\n    server web3 {web3.addr}:80 weight 0",
    );
    let traffic = sent(&client, &lb, &web, config).await?;
    assert_eq!(failing(promised(&traffic, &web, balancer())), ["share"]);
    Ok(())
}

/// Addresses one after the other fall on servers one after the other, so that the shares are right all the same.
#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn affinity_that_nobody_asked_for(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let config = Config::tcp().with("balance source").with("hash-type map-based");
    let traffic = sent(&client, &lb, &web, config).await?;
    assert_eq!(failing(promised(&traffic, &web, balancer())), ["affinity"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn no_proxy_protocol(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let traffic = sent(&client, &lb, &web, Config::tcp()).await?;
    assert_eq!(failing(promised(&traffic, &web, Sees::Client)), ["source"]);
    Ok(())
}

/// Backends that say on port 8080 whether they are well; gives what says so on `web1`.
async fn serve_with_health(web: &[Node]) -> netlab::Result<Serving<Echo>> {
    serve(web, Over::Tcp).await?;
    let mut health = Vec::new();
    for backend in web {
        health.push(backend.serve(servers::echo(8080)).await?);
    }
    Ok(health.swap_remove(0))
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn no_health_check(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let serving = serve_with_health(&web).await?;
    HaProxy::start(&lb, &Config::tcp()).await?;
    let test = LbTest::new([&client], vips());
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    load.until(|load| answered_by(load, &web[0])).await?;
    let down = test.now();
    // It says that it is ill, and answers all the same.
    serving.refuse();
    load.until(|load| load.since(down + NOTICED).observations().len() > 30).await?;
    let traffic = load.stop().await?;
    let verdicts = [
        traffic.health("web1").leaves(down, NOTICED),
        traffic.share_equally(&web).by_chance(FALSE_ALARM),
        traffic.loses(Misses::none()),
    ];
    println!("{}", verdicts[0]);
    assert_eq!(failing(verdicts), ["health, fall"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn checks_that_never_bring_a_server_back(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let serving = serve_with_health(&web).await?;
    let servers = |rise: &str| format!("check port 8080 inter 25ms fall 2 rise {rise}");
    for (port, (rise, fails)) in (80..).zip([("2", &[][..]), ("100000", &["health, rise"])]) {
        HaProxy::start(&lb, &Config::tcp().servers(&servers(rise)).port(port)).await?;
        let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]);
        let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
        load.until(|load| answered_by(load, &web[0])).await?;
        let down = test.now();
        serving.refuse();
        load.until(|load| load.since(down + NOTICED).observations().len() > 30).await?;
        let up = test.now();
        serving.resume()?;
        load.until(|load| load.since(up + NOTICED).observations().len() > 30).await?;
        let traffic = load.stop().await?;
        let verdicts = [
            traffic.before(up).health("web1").leaves(down, NOTICED),
            traffic.health("web1").returns(up, NOTICED),
            traffic.loses(Misses::none()),
        ];
        assert_eq!(failing(verdicts), fails);
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_drain_that_cuts(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    for (port, (cuts, fails)) in (80..).zip([(false, &[][..]), (true, &["drain, open connections"])]) {
        let haproxy = HaProxy::start(&lb, &Config::tcp().port(port)).await?;
        let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]);
        let (kept, fresh) = kept_and_fresh(&test).await?;
        let began = test.now();
        haproxy.set_state(&web[0], "drain").await?;
        if cuts {
            haproxy.admin.tell("shutdown sessions server web/web1").await?;
        }
        let told = test.now();
        fresh.until(|fresh| fresh.since(told).answers().count() >= 60).await?;
        let until = test.now();
        kept.until(|kept| kept.since(until).observations().len() >= 60).await?;
        let (kept, fresh) = (kept.stop().await?, fresh.stop().await?);
        let verdicts = [
            fresh.drain("web1", began).nothing_new(told - began),
            kept.drain("web1", began).keeps_open(until - began),
        ];
        println!("{}\n{}", verdicts[0], verdicts[1]);
        assert_eq!(failing(verdicts), fails);
    }
    Ok(())
}
