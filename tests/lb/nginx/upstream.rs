//! What nginx makes of backends that fail: the next one is asked, and the one that failed is left alone for a while.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Over};
use netlab::prelude::*;

use super::{Config, Nginx};
use crate::suite::{answered_by, vips};

/// What coming back may take: `fail_timeout`, and a machine that has other things to do.
const NOTICED: Duration = Duration::from_secs(6);

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_backend_that_fails_is_left_alone_and_asked_again(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    let mut serving = Vec::new();
    for backend in &web {
        serving.push(backend.serve(servers::identity(80)).await?);
    }
    let config = Config::over(Over::Http).servers(&web, "max_fails=1 fail_timeout=1s");
    Nginx::start(&lb, Over::Http, &config).await?;
    let test = LbTest::new([&client], vips()).over(Over::Http);
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    load.until(|load| answered_by(load, &web[0])).await?;
    // Who is connected is answered still.
    serving[0].refuse();
    let down = test.now();
    load.until(|load| load.since(down).observations().len() >= 60).await?;
    let up = test.now();
    serving[0].resume()?;
    load.until(|load| answered_by(&load.since(up), &web[0])).await?;
    let traffic = load.stop().await?;
    println!("{}", traffic.summary());
    traffic.before(up).health("web1").leaves(down, Duration::ZERO).holds()?;
    traffic.health("web1").returns(up, NOTICED).holds()?;
    traffic.loses(Misses::none()).holds()?;
    Ok(())
}
