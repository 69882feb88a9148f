//! What scenarios A and B observe, whatever their host is.

#![expect(clippy::needless_pass_by_value, reason = "handles come as tests have them")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Bounds a failure, not a success: how long an answer may take that is expected to come.
const PATIENCE: Duration = Duration::from_secs(5);

// ---------------------------------------------------------------- A. Two servers behind a virtual switch

pub fn a2_each_namespace_sees_its_own_interface(lab: Lab, ns1: Node, ns2: Node) -> netlab::Result {
    for (node, addr) in [(&ns1, "192.168.1.11/24"), (&ns2, "192.168.1.12/24")] {
        let names: Vec<_> = node.ifaces()?.into_iter().map(|iface| iface.name).collect();
        assert_eq!(names, ["lo", "eth0"]);
        let eth0 = node.iface("eth0")?;
        assert!(eth0.addrs.contains(&addr.parse()?), "{eth0:?}");
        for iface in lab.host().ifaces()? {
            assert_ne!(iface.mac, eth0.mac, "the host sees {}'s interface", node.name());
            assert!(!iface.addrs.contains(&addr.parse()?), "the host sees {}'s address", node.name());
        }
    }
    Ok(())
}

pub fn a3_the_host_has_the_route_on_the_bridge(lab: Lab) -> netlab::Result {
    let routes = lab.host().routes()?;
    let route = routes.iter().find(|route| route.destination == "192.168.1.0/24".parse().unwrap());
    let route = route.ok_or_else(|| netlab::Error::msg(format!("no route to the subnet in {routes:?}")))?;
    assert_eq!(route.dev.as_deref(), Some("br1"));
    assert_eq!(route.source, Some("192.168.1.10".parse()?));
    Ok(())
}

pub async fn a4_everyone_reaches_everyone(lab: Lab) -> netlab::Result {
    let nodes = lab.nodes();
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.name() != from.name()) {
            let addr = to.addr();
            from.ping(addr).await?;
            tcp_echo(from, to, SocketAddr::new(addr, 7)).await?;
            udp_echo(from, to, SocketAddr::new(addr, 7)).await?;
        }
    }
    Ok(())
}

pub async fn a5_without_a_default_route_the_network_is_unreachable(ns1: Node) -> netlab::Result {
    let refused = ns1.tcp_connect("8.8.8.8:53").await.expect_err("there is no route");
    assert_eq!(refused.kind(), io::ErrorKind::NetworkUnreachable);
    ns1.ping("192.168.1.10").await?;
    Ok(())
}

pub async fn a6_without_nat_the_request_leaves_and_no_reply_comes_back(
    ns1: Node,
    internet: Node,
) -> netlab::Result {
    let server = internet.udp_socket("8.8.8.8:53").await?;
    let client = ns1.udp_socket("0.0.0.0:0").await?;
    client.send_to(b"anyone?", "8.8.8.8:53").await?;
    let mut seen = [0; 16];
    let (_, source) = timeout(PATIENCE, server.recv_from(&mut seen)).await??;
    assert_eq!(source.ip(), "192.168.1.11".parse::<IpAddr>()?, "the request arrived as it was sent");
    let reply = server.send_to(b"here", source).await.expect_err("the world has no route back");
    assert_eq!(reply.kind(), io::ErrorKind::NetworkUnreachable);
    Ok(())
}

pub async fn a7_with_nat_the_world_answers_and_sees_the_host(ns1: Node, internet: Node) -> netlab::Result {
    ns1.ping("8.8.8.8").await?;
    assert_eq!(source_seen(&ns1, &internet, "8.8.8.8:53").await?, "203.0.113.1".parse::<IpAddr>()?);
    Ok(())
}

pub async fn a8_two_servers_on_the_same_port_answer_for_themselves(
    ns1: Node,
    ns2: Node,
    lab: Lab,
) -> netlab::Result {
    for server in [&ns1, &ns2] {
        answer_with(server, "0.0.0.0:8000", server.name().to_owned()).await?;
    }
    for server in [&ns1, &ns2] {
        // By name: every node finds every other one in `/etc/hosts`.
        assert_eq!(ask(&lab.host(), &format!("{}:8000", server.name())).await?, server.name());
    }
    Ok(())
}

pub async fn a9_masquerade_can_be_limited_to_one_interface(
    ns1: Node,
    internet: Node,
    neighbour: Node,
) -> netlab::Result {
    assert_eq!(source_seen(&ns1, &internet, "203.0.113.2:53").await?, "203.0.113.1".parse::<IpAddr>()?);
    assert_eq!(source_seen(&ns1, &neighbour, "198.51.100.2:53").await?, "192.168.1.11".parse::<IpAddr>()?);
    Ok(())
}

// ---------------------------------------------------------------- B. Red, green, blue

pub async fn b1_blue_holds_lo_alone_and_reaches_nobody(red: Node, green: Node, blue: Node) -> netlab::Result {
    let names: Vec<_> = blue.ifaces()?.into_iter().map(|iface| iface.name).collect();
    assert_eq!(names, ["lo"]);
    for other in [&red, &green] {
        let refused = blue.tcp_connect((other.addr(), 80)).await.expect_err("blue is unplugged");
        assert_eq!(refused.kind(), io::ErrorKind::NetworkUnreachable);
    }
    red.ping(green.addr()).await?;
    Ok(())
}

pub async fn b2_the_bridge_learns_each_address_on_its_own_port(
    lab: Lab,
    red: Node,
    green: Node,
) -> netlab::Result {
    red.ping(green.addr()).await?;
    let fdb = lab.net("linux-bridge")?.fdb()?;
    let mut ports = Vec::new();
    for node in [&red, &green] {
        let mac = node.iface("eth0")?.mac;
        let learned: Vec<_> = fdb.iter().filter(|entry| Some(entry.mac) == mac && entry.learned).collect();
        let [entry] = learned[..] else { panic!("{} is not learned once: {fdb:?}", node.name()) };
        assert_eq!(entry.node.as_deref(), Some(node.name()));
        ports.push(entry.port.clone());
    }
    assert_ne!(ports[0], ports[1]);
    Ok(())
}

pub async fn b3_red_knows_greens_hardware_address_after_reaching_it(
    red: Node,
    green: Node,
) -> netlab::Result {
    red.ping(green.addr()).await?;
    let neighbours = red.neighbours()?;
    let green_seen = neighbours.iter().find(|neighbour| neighbour.addr == green.addr());
    let green_seen =
        green_seen.ok_or_else(|| netlab::Error::msg(format!("green is not in {neighbours:?}")))?;
    assert_eq!(green_seen.mac, green.iface("eth0")?.mac);
    Ok(())
}

pub async fn b4_the_gateway_carries_outbound_traffic_through_nat(red: Node, client: Node) -> netlab::Result {
    assert_eq!(source_seen(&red, &client, "203.0.113.2:53").await?, "203.0.113.1".parse::<IpAddr>()?);
    Ok(())
}

pub async fn b5_the_port_forward_reaches_red_which_sees_the_client(
    red: Node,
    client: Node,
) -> netlab::Result {
    let listener = red.tcp_listener("0.0.0.0:80").await?;
    let mut outside = client.tcp_connect("203.0.113.1:8080").await?;
    let (mut inside, source) = timeout(PATIENCE, listener.accept()).await??;
    assert_eq!(source.ip(), client.addr());
    inside.write_all(b"red").await?;
    drop(inside);
    let mut answer = String::new();
    timeout(PATIENCE, outside.read_to_string(&mut answer)).await??;
    assert_eq!(answer, "red");
    Ok(())
}

// ---------------------------------------------------------------- What the rows have in common

/// One line there and back over TCP.
async fn tcp_echo(from: &Node, to: &Node, addr: SocketAddr) -> netlab::Result {
    let listener = to.tcp_listener(addr).await?;
    let mut near = from.tcp_connect(addr).await?;
    let (mut far, _) = timeout(PATIENCE, listener.accept()).await??;
    near.write_all(b"over").await?;
    let mut heard = [0; 4];
    timeout(PATIENCE, far.read_exact(&mut heard)).await??;
    far.write_all(&heard).await?;
    timeout(PATIENCE, near.read_exact(&mut heard)).await??;
    assert_eq!(&heard, b"over");
    Ok(())
}

/// One datagram there and back.
async fn udp_echo(from: &Node, to: &Node, addr: SocketAddr) -> netlab::Result {
    let server = to.udp_socket(addr).await?;
    let client = from.udp_socket("0.0.0.0:0").await?;
    let mut heard = [0; 4];
    client.send_to(b"over", addr).await?;
    let (_, source) = timeout(PATIENCE, server.recv_from(&mut heard)).await??;
    server.send_to(&heard, source).await?;
    let (_, answered) = timeout(PATIENCE, client.recv_from(&mut heard)).await??;
    assert_eq!((answered, &heard), (addr, b"over"));
    Ok(())
}

/// Sends a datagram, has it answered, and says which source address it arrived with.
async fn source_seen(from: &Node, to: &Node, addr: &str) -> netlab::Result<IpAddr> {
    let server = to.udp_socket(addr).await?;
    let client: UdpSocket = from.udp_socket("0.0.0.0:0").await?;
    client.send_to(b"who?", addr).await?;
    let mut heard = [0; 4];
    let (_, source) = timeout(PATIENCE, server.recv_from(&mut heard)).await??;
    server.send_to(b"you!", source).await?;
    timeout(PATIENCE, client.recv_from(&mut heard)).await??;
    assert_eq!(&heard, b"you!");
    Ok(source.ip())
}

/// Serves `text` to everyone who connects to `addr` of `node`, for as long as the lab lives.
async fn answer_with(node: &Node, addr: &str, text: String) -> netlab::Result {
    let listener = node.tcp_listener(addr).await?;
    node.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Err(error) = stream.write_all(text.as_bytes()).await {
                eprintln!("answering: {error}");
            }
        }
    });
    Ok(())
}

/// Connects and reads until the other side closes.
async fn ask(from: &Node, addr: &str) -> netlab::Result<String> {
    let mut stream = from.tcp_connect(addr).await?;
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}
