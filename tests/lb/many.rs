//! Many backends, many flows.

use std::net::SocketAddr;
use std::time::Instant;

use netlab::lb::{Key, Load, Misses, Over};
use netlab::prelude::*;

use crate::anycast::{self, By};
use crate::suite::FALSE_ALARM;

/// Each from a port of its own: on each of the client's addresses as many.
fn flows() -> impl Iterator<Item = SocketAddr> {
    (1..=8).flat_map(|last| (20_000..20_512).map(move |port| ([10, 1, 0, last], port).into()))
}

/// Has the balancer and the backends know each other's hardware addresses for good. The kernel has one table of neighbours for all
/// namespaces of the machine, with room for 1,024 (`net.ipv4.neigh.default.gc_thresh3`), where only such entries do not count
/// (`neigh_alloc` in net/core/neighbour.c): this lab alone would take an eighth of it from all tests that run beside it.
async fn introduce(lb: &Node, web: &[Node]) -> netlab::Result {
    netlab::requires_program("ip");
    let mac = |node: &Node, dev: &str| -> netlab::Result<String> {
        Ok(node.iface(dev)?.mac.expect("a veth has a hardware address").to_string())
    };
    let (mut known, gate) = (String::new(), mac(lb, "eth1")?);
    for backend in web {
        let (addr, lladdr) = (backend.addr(), mac(backend, "eth0")?);
        known += &format!("neigh replace {addr} lladdr {lladdr} dev eth1 nud permanent\n");
        let ip = backend.command("ip").args(["neigh", "replace", "10.2.0.254", "lladdr", &gate]);
        let status = ip.args(["dev", "eth0", "nud", "permanent"]).status().await?;
        assert!(status.success(), "{status}");
    }
    let status = lb.command("ip").arg("-batch").arg(lb.file("neighbours", &known)?).status().await?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[netlab::test(topology = "
    net    front   10.1.0.0/24
    net    back    10.2.0.0/24
    node   client  front=.1,.2,.3,.4,.5,.6,.7,.8
    router lb      front=.254 back=.254
    node   web[64] back=.11 addr=10.9.9.9/32
")]
async fn thousands_of_flows_to_64_backends(client: Node, lb: Node, web: [Node; 64]) -> netlab::Result {
    let began = Instant::now();
    introduce(&lb, &web).await?;
    let test = anycast::bench(&client, &lb, &web, By::Ports).await?;
    println!("{} backends serve after {:.2?}", web.len(), began.elapsed());

    let connections = test.send(Load::requests(4096).concurrency(64)).await?;
    println!("connections: {}", connections.summary());
    let test = test.over(Over::Udp);
    let datagrams = test.send(Load::requests(4096).concurrency(64).from(flows())).await?;
    println!("datagrams: {}", datagrams.summary());
    let kept = test.send(Load::requests(4096).keep_connections(256)).await?;
    println!("datagrams of sockets that are kept: {}", kept.summary());

    let asked = Instant::now();
    for traffic in [&connections, &datagrams, &kept] {
        traffic.loses(Misses::none()).holds()?;
        let share = traffic.share_equally(&web).counting(Key::Connection).by_chance(FALSE_ALARM);
        share.holds()?;
    }
    kept.affinity(Key::Connection).always().holds()?;
    println!("checks take {:.2?}, all {:.2?}", asked.elapsed(), began.elapsed());
    Ok(())
}
