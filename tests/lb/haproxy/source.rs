//! Whom the backends see, by the PROXY protocol.

use netlab::lb::{LbTest, Load, Misses, Sees, who};
use netlab::prelude::*;

use super::{Config, HaProxy};
use crate::suite::vips;

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn both_versions_show_the_client_and_its_port(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    for backend in &web {
        backend.serve(who(80, backend.name()).proxy_protocol()).await?;
    }
    for (port, version) in (80..).zip(["send-proxy", "send-proxy-v2"]) {
        HaProxy::start(&lb, &Config::tcp().servers(version).port(port)).await?;
        // By either family, whatever the backends are reached by.
        let vips = vips().map(|vip| (vip.ip(), port).into());
        let traffic = LbTest::new([&client], vips).send(Load::requests(60).concurrency(1)).await?;
        println!("{version}: {}", traffic.summary());
        traffic.source(Sees::ClientAndPort).holds()?;
        traffic.share_equally(&web).exactly().holds()?;
        traffic.loses(Misses::none()).holds()?;
    }
    Ok(())
}
