//! HAProxy under test: it stands before three web servers, one of which is killed under load and started again.
//!
//! What is promised is asked of all that the client saw. Where `haproxy` is not installed, this is ignored, with the reason.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Over};
use netlab::prelude::*;

/// Requests that may fail: what the server had in hand when it was killed, which on a busy machine are several.
const LOST: u64 = 20;
/// The longest that the client may be without an answer.
const GAP: Duration = Duration::from_millis(500);
/// How long a server that is well again may be left out. HAProxy asks it every 50 ms, and believes it the second time.
const BACK: Duration = Duration::from_secs(2);
/// How often the shares of a right balancer may look wrong by chance.
const FALSE_ALARM: f64 = 1e-6;

const HAPROXY: &str = "
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s

frontend web
    bind {node.addr}:80
    default_backend servers

backend servers
    balance roundrobin
    option redispatch 1
    server {web[*].name} {web[*].addr}:80 check inter 50ms fall 2 rise 2
";

#[netlab::test(topology = "
    net  front  203.0.113.0/24
    net  back   10.0.0.0/24
    node client front=.10
    node lb     front=.1 back=.1
    node web[3] back=.11            # web1 is .11, web2 .12, web3 .13
")]
async fn haproxy_failover(lab: Lab, client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    netlab::requires_program("haproxy");
    println!("{}", lab.plan().draw(100));

    web[0].serve(servers::identity(80)).await?;
    let server = web[1].serve(servers::identity(80)).await?;
    web[2].serve(servers::identity(80)).await?;
    let config = lb.file("haproxy.cfg", HAPROXY)?;
    lb.command("haproxy").args(["-db", "-f"]).arg(config).ready_when(ready::port(80)).start().await?;

    let test = LbTest::new([&client], [(lb.addr(), 80).into()]).over(Over::Http);
    let load = test.start(Load::rate(400.0, Duration::from_secs(20)))?;
    load.until(|seen| seen.answers().count() >= 120).await?;

    let killing = test.now();
    server.kill();
    let killed = test.now();
    load.until(|seen| seen.since(killed).answers().count() >= 120).await?;

    let started = test.now();
    server.resume()?;
    load.until(|seen| seen.since(started).answers_by_backend().contains_key("web2")).await?;
    let back = test.now();
    load.until(|seen| seen.since(back).answers().count() >= 120).await?;
    let seen = load.stop().await?;

    println!("400 requests a second from client to lb:80, and who answered them:\n");
    println!("{}\n", seen.timeline().mark(killed, "web2 is killed").mark(started, "web2 is started again"));
    for promise in [
        seen.before(killing).share_equally(&web).by_chance(FALSE_ALARM),
        seen.loses(Misses::at_most(LOST).longest_gap(GAP)),
        seen.before(started).health(&web[1]).leaves(killed, Duration::ZERO),
        seen.health(&web[1]).returns(started, BACK),
        seen.since(back).share_equally(&web).by_chance(FALSE_ALARM),
    ] {
        println!("{promise}\n");
        promise.holds()?;
    }
    Ok(())
}

netlab::main!();
