//! The DNS server, by messages on the wire and through the system's resolver.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use netlab::inspect::Protocol;
use netlab::prelude::*;
use netlab::servers::{DnsFailure, DnsRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{PATIENCE, SILENCE, both};

/// Asks one question.
async fn ask(
    client: &Node,
    server: SocketAddr,
    protocol: Protocol,
    name: &str,
    kind: RecordType,
) -> netlab::Result<Message> {
    ask_with(client, server, protocol, name, kind, None).await
}

async fn ask_with(
    client: &Node,
    server: SocketAddr,
    protocol: Protocol,
    name: &str,
    kind: RecordType,
    room: Option<u16>,
) -> netlab::Result<Message> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_utf8(name)?, kind));
    if let Some(room) = room {
        let mut edns = Edns::new();
        edns.set_max_payload(room);
        question.set_edns(edns);
    }
    let bytes = question.to_vec()?;
    let mut answer = vec![0; 1 << 16];
    let length = match protocol {
        Protocol::Udp => {
            let socket = client.udp_socket(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
            socket.connect(server).await?;
            socket.send(&bytes).await?;
            timeout(PATIENCE, socket.recv(&mut answer)).await??
        }
        Protocol::Tcp => {
            let mut stream = client.tcp_connect(server).await?;
            stream.write_u16(bytes.len().try_into()?).await?;
            stream.write_all(&bytes).await?;
            let length = timeout(PATIENCE, stream.read_u16()).await??;
            stream.read_exact(&mut answer[..length.into()]).await?;
            length.into()
        }
    };
    let answer = Message::from_vec(&answer[..length])?;
    assert_eq!(answer.metadata.id, question.metadata.id);
    assert_eq!(answer.queries, question.queries);
    Ok(answer)
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

const LAB: &str = "
    net lan 10.0.0.0/24 fd00::/64
    node client lan=.2,::2
    node web lan=.3,::3
    node ns lan=.53,::53
";

fn lab() -> Topology {
    Topology::parse(LAB, "dns").expect("it is right")
}

#[netlab::test(topology = lab)]
async fn it_knows_the_nodes_by_udp_and_tcp_over_both_families(
    lab: Lab,
    client: Node,
    ns: Node,
) -> netlab::Result {
    let dns = lab.dns_server(&ns).await?;
    let of_web6 = format!("3.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
    for server in both(&ns, 53) {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for (name, kind, expected) in [
                ("web.", RecordType::A, "10.0.0.3"),
                ("WEB.", RecordType::A, "10.0.0.3"),
                ("web.lan.", RecordType::A, "10.0.0.3"),
                ("web.", RecordType::AAAA, "fd00::3"),
                ("3.0.0.10.in-addr.arpa.", RecordType::PTR, "web."),
                (&of_web6, RecordType::PTR, "web."),
            ] {
                let answer = ask(&client, server, protocol, name, kind).await?;
                assert_eq!(data(&answer), [expected], "{name} {kind} by {protocol}");
                let head = answer.metadata;
                assert_eq!(head.response_code, ResponseCode::NoError);
                assert!(head.authoritative && head.recursion_available && !head.truncation);
            }
            let answer = ask(&client, server, protocol, "nobody.", RecordType::A).await?;
            assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NXDomain, 0));
            let answer = ask(&client, server, protocol, "web.", RecordType::TXT).await?;
            assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
        }
    }
    let (asked, seen) = (dns.queries(), dns.until(|seen| seen.open == 0).await?);
    assert_eq!((asked.len(), seen.datagrams_in, seen.requests, seen.failed), (32, 16, 16, 0));
    let first = &asked[0];
    assert_eq!((first.name.as_str(), first.kind.as_str(), first.protocol), ("web.", "A", Protocol::Udp));
    assert_eq!(first.peer.ip(), IpAddr::from(client.addr4()));
    Ok(())
}

#[netlab::test(topology = lab)]
async fn records_and_their_times_change_while_it_runs(lab: Lab, client: Node, ns: Node) -> netlab::Result {
    let dns = lab.dns_server(&ns).await?;
    let server = both(&ns, 53)[0];
    let get = async |name: &str, kind| ask(&client, server, Protocol::Udp, name, kind).await;
    let addr = |text: &str| text.parse::<IpAddr>().expect("an address");

    dns.set("api.example", [addr("10.0.0.3"), addr("10.0.0.4"), addr("fd00::3")])?;
    assert_eq!(data(&get("api.example.", RecordType::A).await?), ["10.0.0.3", "10.0.0.4"]);
    assert_eq!(data(&get("api.example.", RecordType::AAAA).await?), ["fd00::3"]);
    dns.set("api.example", [DnsRecord::addr(addr("10.0.0.5")).ttl(300)])?;
    let answer = get("API.example.", RecordType::A).await?;
    assert_eq!((data(&answer), answer.answers[0].ttl), (vec!["10.0.0.5".to_owned()], 300));
    dns.add("api.example", addr("10.0.0.6"))?;
    dns.set_ttl(7);
    let answer = get("api.example.", RecordType::A).await?;
    assert_eq!(answer.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [300, 7]);
    dns.remove("api.example")?;
    assert_eq!(get("api.example.", RecordType::A).await?.metadata.response_code, ResponseCode::NXDomain);

    dns.set("_http._tcp.example", [DnsRecord::srv(1, 2, 8080, "web"), DnsRecord::srv(3, 4, 81, "ns")])?;
    let answer = get("_http._tcp.example.", RecordType::SRV).await?;
    assert_eq!(data(&answer), ["1 2 8080 web.", "3 4 81 ns."]);
    let long = "x".repeat(300);
    dns.set("note.example", [DnsRecord::txt("short"), DnsRecord::txt(&long)])?;
    let answer = get("note.example.", RecordType::TXT).await?;
    let RData::TXT(text) = &answer.answers[1].data else { panic!("{answer:?}") };
    assert_eq!(text.txt_data.iter().map(|part| part.len()).collect::<Vec<_>>(), [255, 45]);
    dns.set("10.9.9.9", [DnsRecord::ptr("far.example")])?;
    assert_eq!(data(&get("9.9.9.10.in-addr.arpa.", RecordType::PTR).await?), ["far.example."]);
    dns.set("fd00::9", [DnsRecord::ptr("far.example")])?;
    let reverse = format!("9.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
    assert_eq!(data(&get(&reverse, RecordType::PTR).await?), ["far.example."]);
    dns.set("example", [DnsRecord::mx(10, "mail.example")])?;
    assert_eq!(data(&get("example.", RecordType::MX).await?), ["10 mail.example."]);

    // An alias is followed, and a circle of them is no end of it.
    dns.set("www.example", [DnsRecord::cname("web")])?;
    let answer = get("www.example.", RecordType::A).await?;
    assert_eq!(data(&answer), ["web.", "10.0.0.3"]);
    dns.set("a.example", [DnsRecord::cname("b.example")])?;
    dns.set("b.example", [DnsRecord::cname("a.example")])?;
    assert!(get("a.example.", RecordType::A).await?.answers.len() > 1);

    let error = dns.set(&format!("{}.example", "x".repeat(64)), [addr("10.0.0.3")]).unwrap_err();
    assert!(error.to_string().contains("is no name of DNS"), "{error}");
    Ok(())
}

#[netlab::test(topology = lab)]
async fn every_failure_is_seen_as_one_and_heals(lab: Lab, client: Node, ns: Node) -> netlab::Result {
    let dns = lab.dns_server(&ns).await?;
    for server in both(&ns, 53) {
        let get = async |protocol| ask(&client, server, protocol, "web.", RecordType::A).await;
        for (failure, code) in [
            (DnsFailure::NxDomain, ResponseCode::NXDomain),
            (DnsFailure::ServFail, ResponseCode::ServFail),
            (DnsFailure::Refused, ResponseCode::Refused),
        ] {
            dns.fail("web", failure)?;
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let answer = get(protocol).await?;
                assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0));
                // Others are answered.
                let other = ask(&client, server, protocol, "ns.", RecordType::A).await?;
                assert_eq!(data(&other), ["10.0.0.53"]);
            }
        }
        dns.fail("web", DnsFailure::Truncated)?;
        let answer = get(Protocol::Udp).await?;
        assert!(answer.metadata.truncation && answer.answers.is_empty());
        assert_eq!(data(&get(Protocol::Tcp).await?), ["10.0.0.3"]);
        dns.fail("web", DnsFailure::Timeout)?;
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let asked = dns.queries().len();
            assert!(timeout(SILENCE, get(protocol)).await.is_err(), "{protocol} is answered");
            assert_eq!(dns.queries().len(), asked + 1);
        }
        dns.heal("web")?;
        assert_eq!(data(&get(Protocol::Udp).await?), ["10.0.0.3"]);
    }
    // The controls of all servers.
    dns.kill();
    let server = both(&ns, 53)[0];
    let error = ask(&client, server, Protocol::Tcp, "web.", RecordType::A).await.unwrap_err();
    let kind = error.get_ref().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::ConnectionRefused));
    Ok(())
}

/// An answer that is too long for a datagram is cut, unless the client says that it has the room.
#[netlab::test(topology = lab)]
async fn a_long_answer_is_truncated(lab: Lab, client: Node, ns: Node) -> netlab::Result {
    let dns = lab.dns_server(&ns).await?;
    let addrs = (1..=100).map(|last| IpAddr::from([10, 1, 1, last]));
    dns.set("many.example", addrs)?;
    let server = both(&ns, 53)[0];
    for (protocol, room, whole) in [
        (Protocol::Udp, None, false),
        (Protocol::Udp, Some(1232), false),
        (Protocol::Udp, Some(4096), true),
        (Protocol::Tcp, None, true),
    ] {
        let answer = ask_with(&client, server, protocol, "many.example.", RecordType::A, room).await?;
        assert_eq!(answer.metadata.truncation, !whole, "{protocol} with {room:?}");
        assert_eq!(answer.answers.len(), if whole { 100 } else { 0 });
        assert_eq!(answer.edns.is_some(), room.is_some());
    }
    Ok(())
}

/// The system's resolver, in each node its own.
#[netlab::test(topology = "
    net lan 10.0.0.0/24 fd00::/64
    node client lan=.2
    node other  lan=.4
    node web lan=.3
    node ns lan=.53
")]
async fn nodes_ask_the_server_that_they_are_told(
    lab: Lab,
    client: Node,
    other: Node,
    web: Node,
    ns: Node,
) -> netlab::Result {
    let look_up = |node: &Node| {
        node.enter(|| {
            ("api.example", 80).to_socket_addrs().map(|mut addrs| addrs.next().map(|addr| addr.ip()))
        })
    };
    let resolv = |node: &Node| node.enter(|| std::fs::read_to_string("/etc/resolv.conf"));
    let dns = lab.dns_server(&ns).await?;
    dns.set("api.example", [web.addr()])?;
    // Nobody is told yet. The views of some nodes are there, those of others are not.
    assert!(look_up(&other).is_err());
    client.set_name_servers([&ns])?;
    assert_eq!(look_up(&client)?, Some(web.addr()));
    for untold in [&other, &web, &lab.host()] {
        let text = resolv(untold)?;
        assert!(!text.contains("nameserver"), "{}: {text}", untold.name());
    }
    // Told again, it has the last.
    client.set_name_servers(["10.0.0.77", "10.0.0.53"])?;
    assert_eq!(resolv(&client)?, "# made by netlab\nnameserver 10.0.0.77\nnameserver 10.0.0.53\n");

    lab.use_dns(&dns)?;
    for node in [&client, &other, &web] {
        assert_eq!(look_up(node)?, Some(web.addr()), "{}", node.name());
    }
    assert!(resolv(&lab.host())?.contains("nameserver 10.0.0.53"));
    // What netlab's own handles, programs and futures in the node look up goes the same way.
    web.serve(servers::identity(80)).await?;
    assert_eq!(client.get("http://api.example/").await?.seen()?.header("host"), Some("api.example"));
    let output = other.command("getent").args(["ahostsv4", "api.example"]).output().await?;
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("10.0.0.3 "), "{output:?}");
    let found = client.spawn(async { tokio::net::lookup_host("api.example:80").await.map(Iterator::count) });
    assert!(found.await?? > 0);
    dns.fail("api.example", DnsFailure::NxDomain)?;
    assert!(look_up(&client).is_err());
    // `/sys` is still the node's.
    assert!(client.enter(|| std::fs::exists("/sys/class/net/eth0"))?);
    Ok(())
}
