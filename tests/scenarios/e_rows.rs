//! What scenario E observes, whatever the balancer is.

use std::net::SocketAddr;
use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Sees, Traffic, Who, who};
use netlab::prelude::*;
use netlab::servers::Serving;

/// Where clients find the balancer.
pub const VIP: ([u8; 4], u16) = ([203, 0, 113, 1], 80);
/// So many answers in a row without a backend, whose share is a third: it is out of the way.
const MANY: usize = 60;

/// A balancer on the node `lb` before backends on the nodes `web[..]`, port 80.
pub trait Balancer {
    /// Whom the backends see.
    fn sees(&self) -> Sees;

    /// From now on the backend gets no new connections, and keeps those that it has.
    async fn drain(&self, backend: &Node) -> netlab::Result;
}

/// Backends that tell who they are and whom they saw.
pub async fn backends(web: &[Node]) -> netlab::Result<Vec<Serving<Who>>> {
    let mut serving = Vec::new();
    for backend in web {
        serving.push(backend.serve(who(80, backend.name())).await?);
    }
    Ok(serving)
}

/// All rows, of a balancer that runs.
pub async fn hold(
    balancer: &impl Balancer,
    client: &Node,
    web: &[Node],
    serving: &[Serving<Who>],
) -> netlab::Result {
    let test = LbTest::new([client], [SocketAddr::from(VIP)]);
    every_backend_gets_its_share_and_sees_whom_it_should(&test, balancer, web).await?;
    a_stopped_backend_gets_none(&test, &web[0], &serving[0]).await?;
    a_drained_backend_keeps_what_it_has(&test, balancer, &web[0]).await
}

async fn every_backend_gets_its_share_and_sees_whom_it_should(
    test: &LbTest,
    balancer: &impl Balancer,
    web: &[Node],
) -> netlab::Result {
    let seen = test.send(Load::requests(120).concurrency(1)).await?;
    seen.share_equally(web).exactly().holds()?;
    seen.source(balancer.sees()).holds()?;
    Ok(())
}

/// Once the balancer has noticed no request is lost; when the backend is well again it gets requests again.
async fn a_stopped_backend_gets_none(test: &LbTest, one: &Node, server: &Serving<Who>) -> netlab::Result {
    let load = test.start(Load::rate(200.0, Duration::from_secs(60)))?;
    load.until(|seen| answered_by(seen, one)).await?;
    let stopped = test.now();
    server.stop();
    load.until(|seen| {
        let last = seen.observations().iter().rev().take(MANY);
        seen.since(stopped).observations().len() >= MANY
            && last.clone().all(|request| request.backend().is_some_and(|name| name != one.name()))
    })
    .await?;
    let noticed = test.now();
    load.until(|seen| seen.since(noticed).observations().len() >= MANY).await?;
    let again = test.now();
    server.resume()?;
    load.until(|seen| answered_by(&seen.since(again), one)).await?;
    let seen = load.stop().await?;

    println!("{}", seen.timeline().mark(stopped, "stopped").mark(noticed, "noticed").mark(again, "started"));
    let without = seen.since(noticed).before(again);
    without.loses(Misses::none()).holds()?;
    without.health(one).leaves(noticed, Duration::ZERO).holds()?;
    Ok(())
}

async fn a_drained_backend_keeps_what_it_has(
    test: &LbTest,
    balancer: &impl Balancer,
    one: &Node,
) -> netlab::Result {
    let enough = Duration::from_secs(60);
    let kept = test.start(Load::rate(200.0, enough).keep_connections(9))?;
    kept.until(|seen| seen.answers().count() >= 9 && answered_by(seen, one)).await?;
    let fresh = test.start(Load::rate(200.0, enough))?;
    let began = test.now();
    balancer.drain(one).await?;
    let drained = test.now();
    fresh.until(|seen| seen.since(drained).answers().count() >= MANY).await?;
    let end = test.now();
    kept.until(|seen| seen.since(end).answers().count() >= MANY).await?;
    let (kept, fresh) = (kept.stop().await?, fresh.stop().await?);

    println!("new connections:\n{}", fresh.timeline().mark(began, "drained"));
    println!("open ones:\n{}", kept.timeline().mark(began, "drained"));
    fresh.drain(one, began).nothing_new(drained - began).holds()?;
    kept.drain(one, began).keeps_open(end - began).holds()?;
    fresh.loses(Misses::none()).holds()?;
    kept.loses(Misses::none()).holds()?;
    Ok(())
}

fn answered_by(seen: &Traffic, backend: &Node) -> bool {
    seen.answers().any(|(_, answer)| answer.backend == backend.name())
}
