//! Which way packets go: answers past the balancer or through it, and errors to the backend that they concern.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Misses, Over, TooBigWatch, Watch};
use netlab::prelude::*;

use crate::anycast::{self, By};
use crate::proxy::{Choice, Fault, Proxy};
use crate::suite::serve;

/// Answers so large that the headers beside them say nothing.
const ANSWER: u64 = 20_000;

#[netlab::test(topology = "tests/topologies/anycast.topo")]
async fn answers_go_past_the_balancer(inside: Node, lb: Node, edge: Node, web: [Node; 3]) -> netlab::Result {
    let test = anycast::bench(&inside, &lb, &web, By::Addresses).await?;
    let sources = (10..=21).map(|last| ([10, 2, 0, last], 0).into());
    let sources = sources.chain([([0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10], 0).into()]);
    for over in [Over::Tcp, Over::Udp] {
        let (at_lb, at_edge) = (Watch::begin(&lb)?, Watch::begin(&edge)?);
        let load = Load::requests(60).from(sources.clone()).answers_of(ANSWER);
        let traffic = test.clone().over(over).send(load).await?;
        let past = traffic.return_path(&at_lb.sent()?).bypasses();
        println!("{over:?}: {past}");
        past.holds()?;
        traffic.return_path(&at_edge.sent()?).carries_answers().holds()?;
        assert!(!traffic.return_path(&at_lb.sent()?).passes().is_ok());
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn answers_come_through_a_proxy(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    for backend in &web {
        backend.serve(servers::identity(80)).await?;
    }
    Proxy::start(&lb, 80, &web, Choice::RoundRobin, Fault::None).await?;
    let vips = [([10, 1, 0, 254], 80).into(), ([0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe], 80).into()];
    let test = LbTest::new([&client], vips).over(Over::Http);
    let watch = Watch::begin(&lb)?;
    let traffic = test.send(Load::requests(60).answers_of(ANSWER)).await?;
    traffic.return_path(&watch.sent()?).passes().holds()?;
    assert!(!traffic.return_path(&watch.sent()?).bypasses().is_ok());
    Ok(())
}

#[netlab::test(topology = "tests/topologies/anycast.topo")]
async fn one_backend_answers_through_the_balancer(
    inside: Node,
    lb: Node,
    back: Net,
    web: [Node; 3],
) -> netlab::Result {
    let test = anycast::bench(&inside, &lb, &web, By::Ports).await?;
    anycast::route(&web[2], "default", &[lb.addr_on(&back)?]).await?;
    let watch = Watch::begin(&lb)?;
    let traffic = test.send(Load::requests(60).answers_of(ANSWER)).await?;
    let verdict = traffic.return_path(&watch.sent()?).bypasses();
    assert!(!verdict.is_ok() && verdict.to_string().contains("came back this way"), "{verdict}");
    Ok(())
}

/// Bodies of 100 kB to the client behind the narrow link, two requests on each of twelve connections of either family.
fn transfers() -> Load {
    let v4 = (1..=12).map(|last| ([10, 1, 0, last], 0).into());
    let sources = v4.chain([([0x2001, 0xdb8, 1, 0, 0, 0, 0, 1], 0).into(); 12]);
    Load::requests(48).keep_connections(24).from(sources).answers_of(100_000).timeout(Duration::from_secs(2))
}

#[netlab::test(topology = "tests/topologies/anycast.topo")]
async fn too_big_is_told_to_who_sends(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = anycast::bench(&client, &lb, &web, By::Addresses).await?;
    let watch = TooBigWatch::begin(&web)?;
    let traffic = test.send(transfers()).await?;
    let path = traffic.path_mtu(&watch.told(&traffic)?).complete();
    println!("{path}");
    path.holds()?;
    Ok(())
}

/// A proxy ends its clients' connections itself, so it is the proxy that has to be told.
#[netlab::test(topology = "tests/topologies/anycast.topo")]
async fn too_big_is_told_to_a_proxy(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    Proxy::start(&lb, 80, &web, Choice::RoundRobin, Fault::None).await?;
    let test = LbTest::new([&client], [([10, 2, 0, 254], 80).into()]);
    let watch = TooBigWatch::begin(web.iter().chain([&lb]))?;
    let load = Load::requests(12).keep_connections(6).answers_of(100_000).timeout(Duration::from_secs(2));
    let traffic = test.send(load).await?;
    let told = watch.told(&traffic)?;
    traffic.path_mtu(&told).sent_by(&lb).complete().holds()?;
    let by_the_backends = traffic.path_mtu(&told).complete();
    assert!(by_the_backends.to_string().contains("told of what others send"), "{by_the_backends}");
    Ok(())
}

#[netlab::test(topology = "tests/topologies/anycast.topo")]
async fn too_big_is_told_to_another(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = anycast::bench(&client, &lb, &web, By::Ports).await?;
    let watch = TooBigWatch::begin(&web)?;
    let traffic = test.send(transfers()).await?;
    let path = traffic.path_mtu(&watch.told(&traffic)?).complete();
    println!("{path}");
    assert!(path.to_string().contains("never told, but web"), "{path}");
    // Both families are concerned, and small answers get through all the same.
    let stopped = |v4: bool| traffic.misses().any(|(request, _)| request.source.is_ipv4() == v4);
    assert!(stopped(true) && stopped(false), "{path}");
    traffic.only(|request| request.bytes.wanted == 0).loses(Misses::none()).holds()?;
    Ok(())
}
