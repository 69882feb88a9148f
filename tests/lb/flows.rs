//! Flows that outlive their backend.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use netlab::lb::{LbTest, Load, Over, Traffic, Verdict, who};
use netlab::prelude::*;

use crate::relay::{Fault, Relay};
use crate::suite::{failing, serve};

/// Flows, four a backend.
const FLOWS: usize = 12;

/// Each from a port of its own, which it keeps.
fn flows() -> Load {
    let sources = (1..=FLOWS as u8).map(|last| SocketAddr::from(([10, 1, 0, last], 40_000)));
    let load = Load::rate(300.0, Duration::from_secs(30)).keep_connections(FLOWS).from(sources);
    load.timeout(Duration::from_secs(1))
}

/// A load of which the backend `web1` is removed in the middle, and when that was.
async fn removed(
    test: &LbTest,
    remove: impl AsyncFnOnce() -> netlab::Result,
) -> netlab::Result<(Traffic, Duration)> {
    let load = test.start(flows())?;
    load.until(|load| flows_of(load).len() == FLOWS).await?;
    let removed = test.now();
    remove().await?;
    let after = removed + Duration::from_millis(50);
    // Also those that wait for an answer in vain.
    load.until(|load| flows_of(&load.since(after)).len() == FLOWS).await?;
    Ok((load.stop().await?, removed))
}

fn flows_of(traffic: &Traffic) -> BTreeSet<SocketAddr> {
    traffic.observations().iter().map(|observation| observation.source).collect()
}

/// The rows of its table that are wrong.
fn wrong_rows(verdict: &Verdict) -> Vec<String> {
    verdict.to_string().lines().filter(|line| line.contains("<-")).map(str::to_owned).collect()
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn flows_of_a_removed_backend(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Udp).await?;
    let expected = [
        (Fault::None, &[][..], ""),
        (Fault::KeepsFlows, &["stale flows"], "still answered by web1"),
        (Fault::BlackHoles, &["stale flows"], "without any answer, in a black hole"),
    ];
    for (port, (fault, failed, row)) in (80..).zip(expected) {
        let relay = Relay::start(&lb, port, &web, fault).await?;
        let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]).over(Over::Udp);
        let (traffic, removed) = removed(&test, async || {
            relay.remove(&web[0]);
            Ok(())
        })
        .await?;
        let stale = traffic.removal(&web[0], removed).forgotten_within(Duration::from_millis(50));
        println!("{fault:?}: {stale}\n{}", traffic.timeline());
        assert!(wrong_rows(&stale).iter().all(|wrong| wrong.contains(row)), "{stale}");
        assert_eq!(failing([stale]), failed);
    }
    Ok(())
}

/// The kernel's connection tracking goes on translating a flow as it began, though the rule is another: what kube-proxy has to clear away.
#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn connection_tracking_keeps_flows(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    netlab::requires_program("nft");
    for backend in &web {
        backend.serve(who(80, backend.name())).await?;
    }
    lb.set_sysctl("net.ipv4.ip_forward", 1)?;
    balance(&lb, &web).await?;
    let test = LbTest::new([&client], [([10, 1, 0, 254], 80).into()]).over(Over::Udp);
    let (traffic, removed) = removed(&test, async || balance(&lb, &web[1..]).await).await?;
    let stale = traffic.removal(&web[0], removed).forgotten_within(Duration::from_millis(50));
    assert!(wrong_rows(&stale).iter().all(|wrong| wrong.contains("still answered by web1")), "{stale}");
    assert_eq!(failing([stale]), ["stale flows"]);
    Ok(())
}

/// Translates datagrams of new flows to the next of these backends, by nf_tables.
async fn balance(lb: &Node, web: &[Node]) -> netlab::Result {
    let ways: Vec<String> =
        web.iter().enumerate().map(|(number, backend)| format!("{number} : {}", backend.addr())).collect();
    let rules = format!(
        "table ip lb {{}}\nflush table ip lb\ntable ip lb {{
           chain pre {{
             type nat hook prerouting priority dstnat
             udp dport 80 dnat to numgen inc mod {} map {{ {} }}
           }}
           chain post {{
             type nat hook postrouting priority srcnat
             udp dport 80 masquerade
           }}
         }}",
        web.len(),
        ways.join(", "),
    );
    let output = lb.command("nft").arg("-f").arg(lb.file("lb.nft", &rules)?).output().await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
