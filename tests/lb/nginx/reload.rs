//! A new configuration under load, by SIGHUP.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Over};
use netlab::prelude::*;

use super::{Config, Nginx};
use crate::suite::{FALSE_ALARM, failing, seen, serve, vips};

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_reload_loses_nothing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Http).await?;
    let nginx = Nginx::start(&lb, Over::Http, &Config::over(Over::Http).servers(&web, "")).await?;
    let test = LbTest::new([&client], vips()).over(Over::Http);
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    let mut since = test.now();
    for servers in [&web[..], &web[..2], &web[1..]] {
        nginx.reload(&Config::over(Over::Http).servers(servers, "")).await?;
        since = test.now();
        seen(&load, |load| load.since(since).answers().count() >= 60).await?;
    }
    let traffic = load.stop().await?;
    println!("{}", traffic.summary());
    traffic.loses(Misses::none().longest_gap(Duration::from_secs(1))).holds()?;
    traffic.since(since).share_equally(&web[1..]).by_chance(FALSE_ALARM).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn stopping_and_starting_is_no_reload(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Http).await?;
    let config = Config::over(Over::Http).servers(&web, "");
    let nginx = Nginx::start(&lb, Over::Http, &config).await?;
    let test = LbTest::new([&client], vips()).over(Over::Http);
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    seen(&load, |load| load.answers().count() >= 60).await?;
    nginx.terminate().await?;
    seen(&load, |load| load.misses().count() > 0).await?;
    Nginx::start(&lb, Over::Http, &config).await?;
    let since = test.now();
    seen(&load, |load| load.since(since).answers().count() >= 60).await?;
    let traffic = load.stop().await?;
    let shares = traffic.share_equally(&web).ignoring_misses().by_chance(FALSE_ALARM);
    assert_eq!(failing([traffic.loses(Misses::none()), shares]), ["failover"]);
    Ok(())
}
