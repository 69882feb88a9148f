//! The stream module beyond what every balancer shows: datagrams, and the PROXY protocol.

use netlab::lb::{LbTest, Load, Misses, Over, Sees, who};
use netlab::prelude::*;

use super::{Config, Nginx};
use crate::suite::{serve, vips};

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn datagrams(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Udp).await?;
    let config = Config::over(Over::Udp).servers(&web, "");
    Nginx::start(&lb, Over::Udp, &config).await?;
    let test = LbTest::new([&client], vips()).over(Over::Udp);
    let traffic = test.send(Load::requests(120).concurrency(1)).await?;
    traffic.share_equally(&web).exactly().holds()?;
    traffic.source(Sees::Balancer([10, 2, 0, 254].into())).holds()?;
    traffic.loses(Misses::none()).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_proxy_protocol_shows_the_client_and_its_port(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    for backend in &web {
        backend.serve(who(80, backend.name()).proxy_protocol()).await?;
    }
    let config = Config::over(Over::Tcp).servers(&web, "").with("proxy_protocol on;");
    Nginx::start(&lb, Over::Tcp, &config).await?;
    let traffic = LbTest::new([&client], vips()).send(Load::requests(60).concurrency(1)).await?;
    traffic.source(Sees::ClientAndPort).holds()?;
    traffic.share_equally(&web).exactly().holds()?;
    Ok(())
}
