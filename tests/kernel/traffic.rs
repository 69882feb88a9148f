//! Packets get where the topology says, as whom it says.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlab::prelude::*;
use netlab::{Plan, Topology};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// In labs `without_retry`, a lost ARP request or neighbour solicitation is not sent again before this is over.
const BEFORE_RETRY: Duration = Duration::from_secs(20);

/// A client says who it is, the server whom it saw.
async fn tcp_exchange(
    client: &Node,
    server: &Node,
    listen: &str,
    to: SocketAddr,
) -> netlab::Result<SocketAddr> {
    let listener = server.tcp_listener(listen).await?;
    let mut stream = client.tcp_connect(to).await?;
    let (mut accepted, seen) = listener.accept().await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut heard = String::new();
    accepted.read_to_string(&mut heard).await?;
    assert_eq!(heard, "hello");
    Ok(seen)
}

async fn udp_exchange(
    client: &Node,
    server: &Node,
    listen: &str,
    to: SocketAddr,
) -> netlab::Result<SocketAddr> {
    let server = server.udp_socket(listen).await?;
    let client = client.udp_socket(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    client.send_to(b"ping", to).await?;
    let mut buffer = [0; 16];
    let (length, seen) = server.recv_from(&mut buffer).await?;
    assert_eq!(&buffer[..length], b"ping");
    server.send_to(b"pong", seen).await?;
    // From another address than was asked, a connected socket would not take it.
    let (length, from) = client.recv_from(&mut buffer).await?;
    assert_eq!((&buffer[..length], from), (&b"pong"[..], to));
    Ok(seen)
}

#[netlab::test(topology = "
    net lan 192.168.1.0/24 fd00:1::/64
    net wan 203.0.113.0/24 fd00:2::/64
    node red    lan=.11,::b
    node green  lan=.12,::c
    node far    wan=.9,::9  via=none  addr=8.8.8.8/32
    router host lan=.10,::a  wan=.1,::1  nat(wan)  route(8.8.8.8/32 via=far)
")]
async fn everyone_on_a_net_and_behind_a_nat_is_reached(
    red: Node,
    green: Node,
    far: Node,
    host: Node,
) -> netlab::Result {
    for (from, to) in [(&red, &green), (&green, &red), (&red, &host), (&host, &green)] {
        for addr in [IpAddr::from(to.addr4()), to.addr6().into()] {
            from.ping(addr).await?;
            let seen = tcp_exchange(from, to, &format!("[::]:{}", 80), SocketAddr::new(addr, 80)).await?;
            assert!(from.addrs().contains(&seen.ip().to_canonical()), "{seen}");
            udp_exchange(from, to, &SocketAddr::new(addr, 5000).to_string(), SocketAddr::new(addr, 5000))
                .await?;
        }
    }

    red.ping("8.8.8.8").await?;
    red.ping("fd00:2::9").await?;
    let seen = tcp_exchange(&red, &far, "8.8.8.8:80", "8.8.8.8:80".parse()?).await?;
    assert_eq!(seen.ip(), IpAddr::from([203, 0, 113, 1]), "the far side sees the host's outer address");
    let seen = tcp_exchange(&green, &far, "[fd00:2::9]:80", "[fd00:2::9]:80".parse()?).await?;
    assert_eq!(seen.ip(), "fd00:2::1".parse::<IpAddr>()?);
    let seen = udp_exchange(&red, &far, "8.8.8.8:53", "8.8.8.8:53".parse()?).await?;
    assert_eq!(seen.ip(), IpAddr::from([203, 0, 113, 1]));
    Ok(())
}

#[netlab::test(topology = "
    net lan 192.168.1.0/24 fd00:1::/64
    net wan 203.0.113.0/24 fd00:2::/64
    node red     lan=.11,::b
    node client  wan=.9,::9  via=none
    router host  lan=.10,::a  wan=.1,::1  dnat(8080/tcp -> red:80)  dnat(5353/udp -> red:53)
")]
async fn a_forwarded_port_leads_in_and_the_client_is_seen(
    red: Node,
    client: Node,
    host: Node,
) -> netlab::Result {
    for (to, seen) in [("203.0.113.1", client.addr4().into()), ("fd00:2::1", IpAddr::from(client.addr6()))] {
        let to: IpAddr = to.parse()?;
        assert_eq!(
            tcp_exchange(&client, &red, "[::]:80", (to, 8080).into()).await?.ip().to_canonical(),
            seen
        );
        let listen = if to.is_ipv4() { "0.0.0.0:53" } else { "[::]:53" };
        assert_eq!(udp_exchange(&client, &red, listen, (to, 5353).into()).await?.ip(), seen);
    }
    // The router itself comes by the output hook.
    tcp_exchange(&host, &red, "0.0.0.0:80", (host.addr4(), 8080).into()).await?;
    // The rule is for the router's own addresses only.
    let refused = client.tcp_connect("203.0.113.1:8081").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[netlab::test(topology = "
    node left; node right
    link left right 10.0.0.0/30 fd00::/64
")]
async fn a_link_is_a_wire_between_two(left: Node, right: Node, lab: Lab) -> netlab::Result {
    for (from, to) in [(&left, &right), (&right, &left)] {
        from.ping(to.addr4()).timeout(BEFORE_RETRY).await?;
        from.ping(to.addr6()).timeout(BEFORE_RETRY).await?;
    }
    let link = lab.link("left-right")?;
    assert_eq!(link.ends(), [left.clone(), right]);
    assert_eq!(link.subnets().len(), 2);
    assert_eq!(left.iface("eth0")?.kind.as_deref(), Some("veth"));
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan; node c")]
async fn a_ping_says_why_there_is_no_reply(a: Node, b: Node, c: Node) -> netlab::Result {
    // Positive control: what is refused below is not refused for everyone.
    a.ping(&b).await?;
    assert_eq!(a.ping("192.0.2.1").await.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    assert_eq!(c.ping(&a).await.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    assert_eq!(a.ping("10.0.0.77").await.unwrap_err().kind(), ErrorKind::HostUnreachable);
    // Nobody answers when told not to, and the request itself arrives.
    b.set_sysctl("net.ipv4.icmp_echo_ignore_all", 1)?;
    let silence = a.ping(&b).timeout(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::TimedOut);
    assert_eq!(silence.to_string(), "node `a`: no reply from `b`");
    Ok(())
}

/// Node attributes by which the first request for a neighbour is the only one for a minute, instead of a second.
fn without_retry(dev: &str) -> String {
    let key = |family| format!("sysctl(net.{family}.neigh.{dev}.retrans_time_ms=60000)");
    format!("{} {}", key("ipv4"), key("ipv6"))
}

fn pair() -> Plan {
    let text = format!(
        "net lan 10.0.0.0/24 fd00::/64; node left {eth0}; node right; link left right 10.1.0.0/30; node a lan {eth0}; node b lan",
        eth0 = without_retry("eth0")
    );
    Topology::parse(&text, "pair").and_then(|topology| topology.plan()).expect("the topology is right")
}

/// Builds a lab around a namespace made for it, since a host has room for one only.
fn on_a_fresh_host(plan: &Plan) -> netlab::Result<Lab> {
    let build = || -> netlab::Result<Lab> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of its own, which ends in the namespace it makes"
        )]
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        Ok(Lab::build(plan.clone())?)
    };
    std::thread::scope(|scope| scope.spawn(build).join().expect("building does not panic"))
}

/// Trap: a bridge follows its ports up to a second late, and what the host sends by it before that is lost.
#[netlab::test]
fn first_packets_of_a_host_on_a_bridge_are_not_lost() -> netlab::Result {
    let plan = |subnet: &str| {
        let text = format!("net lan {subnet}; node host lan {}; node a lan", without_retry("lan"));
        Topology::parse(&text, "bridge").and_then(|topology| topology.plan())
    };
    let plans = [plan("10.0.0.0/24")?, plan("fd00::/64")?];
    for round in 0..60 {
        let lab = on_a_fresh_host(&plans[round % 2])?;
        let reply = lab.host().ping(lab.node("a")?.addr()).timeout(BEFORE_RETRY).blocking();
        reply.unwrap_or_else(|error| panic!("round {round}: {error:?}\n{}", lab.dump().expect("a dump")));
    }
    Ok(())
}

/// Trap: without a link-local address, which a bridge gets late, a router asks for no neighbour of what it forwards.
#[netlab::test]
fn first_packets_that_a_host_forwards_are_not_lost() -> netlab::Result {
    let text = format!(
        "net left fd00:1::/64; net right fd00:2::/64; router host left right {}; node a left; node b right",
        without_retry("right")
    );
    let plan = Topology::parse(&text, "forwarding").and_then(|topology| topology.plan())?;
    for round in 0..20 {
        let lab = on_a_fresh_host(&plan)?;
        let reply = lab.node("a")?.ping(&lab.node("b")?).timeout(BEFORE_RETRY).blocking();
        reply.unwrap_or_else(|error| panic!("round {round}: {error:?}\n{}", lab.dump().expect("a dump")));
    }
    Ok(())
}

/// Trap: a port whose carrier has just come drops frames until the link watch has run, and ARP waits a second.
#[netlab::test]
fn first_packets_between_fresh_nodes_are_not_lost() -> netlab::Result {
    for round in 0..50 {
        let lab = Lab::build(pair())?;
        let [a, b, left, right] = ["a", "b", "left", "right"].map(|name| lab.node(name));
        let (a, b, left, right) = (a?, b?, left?, right?);
        let v6 = || a.ping(b.addr6()).timeout(BEFORE_RETRY).blocking();
        let v4 = || a.ping(b.addr4()).timeout(BEFORE_RETRY).blocking();
        // The first of each family asks for its neighbour by itself, so each has to be first at times.
        let outcome = if round % 2 == 0 { v4().and_then(|_| v6()) } else { v6().and_then(|_| v4()) };
        outcome.unwrap_or_else(|error| panic!("round {round}: {error:?}\n{}", lab.dump().expect("a dump")));
        left.ping(&right).timeout(BEFORE_RETRY).blocking()?;
    }
    Ok(())
}
