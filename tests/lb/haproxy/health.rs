//! Health checks: a backend that fails is left out, however it fails, and comes back.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Over, Traffic, who};
use netlab::prelude::*;
use netlab::servers::{Identity, Serving};

use super::{Config, HaProxy};
use crate::suite::{MANY, answered_by, answered_by_others, vips};

/// Two checks that fail, 25 ms apart and given up after 100 ms, take a server out; two that pass bring it back.
const CHECKED: &str = "check inter 25ms fall 2 rise 2";
/// What coming back may take on a machine that has other things to do.
const NOTICED: Duration = Duration::from_secs(5);

/// A way to fail.
type Failing = fn(&Serving<Identity>);

/// The going and coming back of one backend under load.
struct Outage {
    traffic: Traffic,
    /// When the backend failed.
    down: Duration,
    /// When it was out of the way.
    left: Duration,
    /// When it was well again.
    up: Duration,
}

/// Sends until the backend has been chosen, has failed and is out of the way for a while, and is chosen again.
async fn outage(
    test: &LbTest,
    backend: &Node,
    fail: impl FnOnce(),
    mend: impl FnOnce() -> netlab::Result,
) -> netlab::Result<Outage> {
    let load = test.start(Load::rate(200.0, Duration::from_secs(60)))?;
    load.until(|load| answered_by(load, backend)).await?;
    let down = test.now();
    fail();
    load.until(|load| answered_by_others(&load.since(down), backend)).await?;
    let left = test.now();
    load.until(|load| load.since(left).observations().len() >= MANY).await?;
    let up = test.now();
    mend()?;
    load.until(|load| answered_by(&load.since(up), backend)).await?;
    Ok(Outage { traffic: load.stop().await?, down, left, up })
}

/// HAProxy with backends of HTTP that are asked how they are.
async fn asked_how_they_are(lb: &Node, web: &[Node]) -> netlab::Result<Vec<Serving<Identity>>> {
    let mut serving = Vec::new();
    for backend in web {
        serving.push(backend.serve(servers::identity(80)).await?);
    }
    let config = Config::http()
        .with("option httpchk GET /health")
        .with("timeout check 100ms")
        .with("timeout server 500ms")
        .with("retries 3")
        .with("option redispatch 1")
        .servers(CHECKED);
    HaProxy::start(lb, &config).await?;
    Ok(serving)
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_backend_that_fails_leaves_and_comes_back(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    let serving = asked_how_they_are(&lb, &web).await?;
    let test = LbTest::new([&client], vips()).over(Over::Http);
    let first = &serving[0];
    let ways: [(&str, Failing); 4] = [
        ("stops", Serving::stop),
        ("is killed", Serving::kill),
        ("hangs", Serving::hang),
        ("says 500", |server| server.set_status(500)),
    ];
    for (way, fail) in ways {
        let mend = || {
            first.set_status(200);
            Ok(first.resume()?)
        };
        let Outage { traffic, down, left, up } = outage(&test, &web[0], || fail(first), mend).await?;
        println!("web1 {way}: {}", traffic.summary());
        traffic.before(up).health("web1").leaves(down, left - down).holds()?;
        traffic.health("web1").returns(up, NOTICED).holds()?;
        traffic.health("web1").flaps(2, 40).holds()?;
        // What it had when it failed, and before that was noticed; the others answer all the while.
        traffic.loses(Misses::at_most(200).longest_gap(Duration::from_secs(1))).holds()?;
    }
    Ok(())
}

/// A connection that is refused goes to another server at once; what the backend had in hand is lost.
#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn failing_over_before_the_checks_notice(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let mut serving = Vec::new();
    for backend in &web {
        serving.push(backend.serve(who(80, backend.name())).await?);
    }
    let config = Config::tcp().with("retries 3").with("option redispatch 1");
    HaProxy::start(&lb, &config).await?;
    let test = LbTest::new([&client], vips());
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    load.until(|load| answered_by(load, &web[0])).await?;
    // Draining, for who is connected.
    serving[0].refuse();
    let down = test.now();
    load.until(|load| load.since(down).observations().len() > 100).await?;
    let traffic = load.stop().await?;
    traffic.loses(Misses::none().longest_gap(Duration::from_secs(1))).holds()?;
    traffic.health("web1").leaves(down, Duration::ZERO).holds()?;
    let after = traffic.since(down);
    after.share_equally(&web[1..]).by_chance(crate::suite::FALSE_ALARM).holds()?;
    Ok(())
}
