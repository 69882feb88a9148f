//! What is spoken, and by which family: the checks are the same.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use netlab::lb::{Key, LbTest, Load, Miss, Misses, Over, Sees, who};
use netlab::prelude::*;

use crate::proxy::{Choice, Fault, Header, Proxy};
use crate::relay::{self, Relay};
use crate::suite::{failing, serve, vips};

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn http_by_both_families(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    for backend in &web {
        backend.serve(servers::identity(80)).await?;
    }
    Proxy::start(&lb, 80, &web, Choice::RoundRobin, Fault::None).await?;
    let test = LbTest::new([&client], vips()).over(Over::Http);
    let traffic = test.send(Load::requests(60).concurrency(1)).await?;
    traffic.share_equally(&web).exactly().holds()?;
    traffic.source(Sees::Balancer([10, 2, 0, 254].into())).holds()?;
    let by_family = |v4: bool| traffic.only(|request| request.source.is_ipv4() == v4).observations().len();
    assert_eq!((by_family(true), by_family(false)), (30, 30));

    // Connections that are kept stay with their backend, whichever that is.
    let kept = test.send(Load::requests(120).keep_connections(6)).await?;
    kept.affinity(Key::Connection).always().holds()?;
    kept.share_equally(&web).counting(Key::Connection).exactly().holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn clients_are_told_by_the_proxy_protocol(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    for backend in &web {
        backend.serve(who(80, backend).proxy_protocol()).await?;
    }
    for (port, header) in [(80, Header::V1), (81, Header::V2)] {
        Proxy::start(&lb, port, &web, Choice::RoundRobin, Fault::None).await?.tells_client(header);
        let vips = vips().map(|vip| SocketAddr::new(vip.ip(), port));
        let traffic = LbTest::new([&client], vips).send(Load::requests(60).concurrency(1)).await?;
        traffic.share_equally(&web).exactly().holds()?;
        traffic.source(Sees::ClientAndPort).holds()?;
        assert_eq!(traffic.only(|request| request.source.is_ipv6()).answers().count(), 30);
    }
    // A proxy that tells something else, and one that says nothing although it should.
    let one = |port: u16| LbTest::new([&client], [([10, 1, 0, 254], port).into()]);
    Proxy::start(&lb, 90, &web, Choice::RoundRobin, Fault::TellsItself).await?.tells_client(Header::V2);
    let traffic = one(90).send(Load::requests(30)).await?;
    assert_eq!(failing([traffic.source(Sees::Client), traffic.loses(Misses::none())]), ["source"]);
    Proxy::start(&lb, 91, &web, Choice::RoundRobin, Fault::None).await?;
    let traffic = one(91).send(Load::requests(6)).await?;
    traffic.all_fail(&[Miss::Closed, Miss::Reset], Duration::from_secs(5)).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn cookies_are_sent_back(lb: Node, web: [Node; 3]) -> netlab::Result {
    // What a balancer that inserts cookies has its answers say.
    let server = web[0].serve(servers::identity(80).header("set-cookie", "lb=web1; Path=/")).await?;
    let test = LbTest::new([&lb], [(web[0].addr(), 80).into()]).over(Over::Http);
    let traffic = test.send(Load::requests(10).concurrency(1).with_cookies()).await?;
    assert_eq!(server.counters().requests, 10);
    traffic.affinity(Key::Cookie).always().holds()?;
    assert!(traffic.answers().all(|(_, answer)| answer.cookie.as_deref() == Some("lb=web1")));
    Ok(())
}

#[netlab::test(topology = "net lan 10.1.0.0/24; node client lan=.1,.2; node web lan=.11")]
async fn datagrams(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(who(80, "web")).await?;
    let vip: SocketAddr = (web.addr(), 80).into();
    let test = LbTest::new([&client], [vip]).over(Over::Udp);
    let fixed: [SocketAddr; 2] = [([10, 1, 0, 1], 40_000).into(), ([10, 1, 0, 2], 0).into()];
    let traffic = test.send(Load::requests(20).from(fixed)).await?;
    traffic.share([("web", 1)]).exactly().holds()?;
    traffic.source(Sees::ClientAndPort).holds()?;
    // More of them under way at once than there are sources come from these sources all the same.
    let from_others =
        traffic.only(|request| request.source != fixed[0] && request.source.ip() != fixed[1].ip());
    assert_eq!(from_others.observations(), []);

    // The answer that comes too late is none to the next question, which is asked by the same socket.
    server.slow(Duration::from_millis(150));
    let load = Load::requests(5).keep_connections(1).timeout(Duration::from_millis(100));
    let late = test.send(load).await?;
    late.all_fail(&[Miss::TimedOut], Duration::from_secs(5)).holds()?;
    assert_eq!(late.observations().iter().map(|request| request.source).collect::<BTreeSet<_>>().len(), 1);

    server.stop();
    let refused = test.send(Load::requests(3)).await?;
    refused.all_fail(&[Miss::Refused], Duration::from_secs(1)).holds()?;
    assert!(!refused.loses(Misses::none()).is_ok());
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn datagrams_by_both_families(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Udp).await?;
    Relay::start(&lb, 80, &web, relay::Fault::None).await?;
    let test = LbTest::new([&client], vips()).over(Over::Udp);
    let v4 = (1..=6).map(|last| ([10, 1, 0, last], 40_000).into());
    let v6 = (1..=6).map(|last| ([0x2001, 0xdb8, 1, 0, 0, 0, 0, 1], 40_000 + last).into());
    let traffic = test.send(Load::requests(120).keep_connections(12).from(v4.chain(v6))).await?;
    traffic.share_equally(&web).exactly().holds()?;
    traffic.affinity(Key::SourceAndPort).always().holds()?;
    traffic.source(Sees::Balancer([10, 2, 0, 254].into())).holds()?;
    let by_family = |v4: bool| traffic.only(|request| request.source.is_ipv4() == v4).observations().len();
    assert_eq!((by_family(true), by_family(false)), (60, 60));

    // One in ten lost, of which the client hears nothing: bounds beside it tell.
    Relay::start(&lb, 81, &web, relay::Fault::Drops(10)).await?;
    let test = LbTest::new([&client], [([10, 1, 0, 254], 81).into()]).over(Over::Udp);
    let load = Load::requests(120).timeout(Duration::from_millis(300));
    let lossy = test.send(load.keep_connections(12)).await?;
    assert_eq!(lossy.misses_by_kind().into_iter().collect::<Vec<_>>(), [(&Miss::TimedOut, 12)]);
    lossy.loses(Misses::at_most(12)).holds()?;
    assert_eq!(failing([lossy.loses(Misses::at_most(11))]), ["failover"]);
    Ok(())
}

#[netlab::test(topology = "net lan 10.1.0.0/24; node client lan=.1; node web lan=.11")]
async fn a_load_is_refused_where_it_cannot_be_sent_from(client: Node, web: Node) -> netlab::Result {
    let vip: SocketAddr = (web.addr(), 80).into();
    let test = LbTest::new([&client], [vip]);
    let nobody = test.send(Load::requests(1).from([([10, 1, 0, 9], 0).into()])).await.unwrap_err();
    assert_eq!(nobody.to_string(), "`10.1.0.9` is no address of a client; clients here: client (10.1.0.1)");
    let load = Load::requests(4).keep_connections(2).from([([10, 1, 0, 1], 4000).into()]);
    let few = test.send(load).await.unwrap_err();
    assert!(few.to_string().starts_with("2 connections cannot be kept from 1 ports"), "{few}");
    let family =
        test.send(Load::requests(1).from([([0xfd00, 0, 0, 0, 0, 0, 0, 1], 0).into()])).await.unwrap_err();
    assert!(family.to_string().contains("no address of that family"), "{family}");
    Ok(())
}
