//! Health checks: a backend that fails is left out, however it fails, and comes back.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Over, Traffic, Underway, who};
use netlab::prelude::*;
use netlab::servers::{Identity, Serving};

use super::{Config, HaProxy};
use crate::suite::{answered_by, equal, seen, vips};

/// Two checks that fail, 25 ms apart and given up after 100 ms, take a server out; two that pass bring it back.
const CHECKED: &str = "check inter 25ms fall 2 rise 2";
/// What that may take on a machine that has other things to do.
pub const NOTICED: Duration = Duration::from_secs(2);

/// The going and coming back of one backend under load.
struct Outage {
    traffic: Traffic,
    /// When the backend failed.
    down: Duration,
    /// When it was well again.
    up: Duration,
}

/// Sends until the backend has been chosen, has failed and is out of the way, and is chosen again.
async fn outage(
    test: &LbTest,
    backend: &Node,
    fail: impl FnOnce(),
    mend: impl FnOnce() -> netlab::Result,
) -> netlab::Result<Outage> {
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    seen(&load, |load| answered_by(load, backend.name())).await?;
    let down = test.now();
    fail();
    out_of_the_way(&load, backend, down).await?;
    let up = test.now();
    mend()?;
    seen(&load, |load| answered_by(&load.since(up), backend.name())).await?;
    Ok(Outage { traffic: load.stop().await?, down, up })
}

/// Waits until the backend has not been chosen in the last of many answers, and no longer than it may be.
async fn out_of_the_way(load: &Underway, backend: &Node, down: Duration) -> netlab::Result {
    seen(load, |load| {
        let later = load.since(down);
        let last = later.observations().iter().rev().take(60);
        let own = last
            .clone()
            .any(|request| request.backend() == Some(backend.name()) || request.backend().is_none());
        last.len() == 60 && !own
    })
    .await
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
    let ways: [(&str, fn(&Serving<Identity>)); 4] = [
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
        let Outage { traffic, down, up } = outage(&test, &web[0], || fail(first), mend).await?;
        println!("web1 {way}: {}", traffic.summary());
        traffic.before(up).health("web1").leaves(down, NOTICED).holds()?;
        traffic.health("web1").returns(up, NOTICED).holds()?;
        traffic.health("web1").flaps(2, 40).holds()?;
        // Of those that it had when it failed, and that came before it was noticed, a third: 200 a second for NOTICED.
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
    seen(&load, |load| answered_by(load, "web1")).await?;
    let down = test.now();
    // Draining, for who is connected.
    serving[0].refuse();
    seen(&load, |load| load.since(down).observations().len() > 100).await?;
    let traffic = load.stop().await?;
    traffic.loses(Misses::none().longest_gap(Duration::from_secs(1))).holds()?;
    traffic.health("web1").leaves(down, Duration::ZERO).holds()?;
    let after = traffic.since(down);
    let others: Vec<_> = equal(&web[1..]);
    after.share(others).by_chance(crate::suite::FALSE_ALARM).holds()?;
    Ok(())
}
