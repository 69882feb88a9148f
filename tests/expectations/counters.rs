//! What the kernel counts and tracks.

use std::time::Duration;

use netlab::inspect::{FlowProtocol, SocketState};
use netlab::prelude::*;

const LONG: Duration = Duration::from_secs(20);

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan; node c lan")]
async fn interfaces_count_what_goes_through_them(a: Node, b: Node, c: Node) -> netlab::Result {
    // A neighbour that is known is not asked for again for a while.
    for to in [b.addr4().into(), std::net::IpAddr::from(b.addr6())] {
        a.ping(to).await?;
        let before = [a.counters()?, b.counters()?, c.counters()?];
        for _ in 0..10 {
            a.ping(to).await?;
        }
        for counters in &before[..2] {
            counters
                .changed()?
                .tx_packets("eth0", 10..=14)
                .rx_packets("eth0", 10..)
                .tx_bytes("eth0", 10 * 98..)
                .rx_bytes("eth0", 10 * 98..)
                .rx_errors("eth0", 0)
                .tx_errors("eth0", 0)
                .rx_dropped("eth0", 0)
                .tx_dropped("eth0", ..=0)
                .rx_packets("lo", 0)
                .qdisc_dropped("eth0", 0)
                .check()?;
        }
        before[2].changed()?.tx_packets("eth0", ..=4).rx_packets("eth0", ..=8).check()?;
    }
    assert!(a.counters()?.interface("eth0")?.tx_packets >= 20);
    let error = a.counters()?.interface("eth1").unwrap_err().to_string();
    assert_eq!(error, "node `a` has no interface `eth1`; interfaces there: lo, eth0");
    let shown = a.counters()?.interface("lo")?.to_string();
    assert_eq!(
        shown,
        "lo rx packets 0 bytes 0 errors 0 dropped 0 multicast 0 tx packets 0 bytes 0 errors 0 dropped 0"
    );
    Ok(())
}

const NAT: &str = "
    net lan 192.168.1.0/24 fd00:1::/64
    net wan 203.0.113.0/24 fd00:2::/64
    node client lan
    node web    lan
    node far    wan via=none
    router gate lan wan  nat(wan)  dnat(8080/tcp -> web:80)
";

#[netlab::test(topology = NAT)]
async fn rules_and_connections_are_those_of_the_traffic(lab: Lab) -> netlab::Result {
    let [client, web, far, gate] = ["client", "web", "far", "gate"].map(|name| lab.node(name));
    let (client, web, far, gate) = (client?, web?, far?, gate?);
    assert_eq!(gate.conntrack()?, []);
    let before = gate.counters()?;
    let listener = far.tcp_listener("[::]:80").await?;
    for to in [far.addr4().into(), std::net::IpAddr::from(far.addr6())] {
        let stream = client.tcp_connect((to, 80)).await?;
        let outside = gate.addrs().into_iter().filter(|addr| addr.is_ipv4() == to.is_ipv4()).nth(1);
        let flows = gate.conntrack()?;
        let flow = flows.iter().find(|flow| flow.original.source == stream.local_addr().unwrap());
        let flow = flow.expect("the connection is tracked");
        assert_eq!((flow.protocol, flow.original.destination), (FlowProtocol::Tcp, stream.peer_addr()?));
        assert_eq!(Some(flow.reply.destination.ip()), outside, "{flow}");
        assert_eq!((flow.state, flow.replied, flow.assured), (Some("ESTABLISHED"), true, true), "{flow}");
        assert!(flow.is_source_translated() && !flow.is_destination_translated());
        let accepted = listener.accept().await?.0;
        assert_eq!(accepted.peer_addr()?.ip().to_canonical(), flow.reply.destination.ip());
        // Who closes first waits for stragglers.
        drop(stream);
        drop(accepted);
        eventually(LONG, async || {
            let sockets = client.sockets()?;
            assert!(sockets.iter().any(|socket| socket.state == SocketState::TimeWait), "{sockets:?}");
            Ok::<_, netlab::Error>(())
        })
        .await?;
    }
    before.changed()?.rule("masquerade", 2).rule("postrouting", 2..).rule("dnat", 0).check()?;

    let outside = gate.addr_on(&lab.net("wan")?)?;
    let _listener = web.tcp_listener("0.0.0.0:80").await?;
    let before = gate.counters()?;
    let _stream = far.tcp_connect((outside, 8080)).await?;
    before.changed()?.rule("dnat", 1).rule("masquerade", 0).check()?;
    let flows = gate.conntrack()?;
    let flow = flows.iter().find(|flow| flow.is_destination_translated()).expect("a translated connection");
    assert_eq!(flow.reply.source, (web.addr(), 80).into());

    let udp = client.udp_socket("0.0.0.0:5000").await?;
    udp.send_to(b"?", (far.addr(), 9)).await?;
    let flows = eventually(LONG, async || {
        let flows = gate.conntrack()?;
        let of_udp: Vec<_> = flows.into_iter().filter(|flow| flow.protocol == FlowProtocol::Udp).collect();
        if of_udp.is_empty() { Err(netlab::Error::msg("no UDP yet")) } else { Ok(of_udp) }
    })
    .await?;
    let shown = flows[0].to_string();
    assert!(shown.starts_with("udp "), "{shown}");
    assert!(
        shown.ends_with(
            " src=192.168.1.1 dst=203.0.113.1 sport=5000 dport=9 [UNREPLIED] src=203.0.113.1 dst=203.0.113.2 sport=9 dport=5000"
        ),
        "{shown}"
    );
    Ok(())
}

#[netlab::test(
    topology = "net lan 10.0.0.0/24; net wan 10.1.0.0/24; node a lan; router gate lan wan nat(wan) sysctl(net.netfilter.nf_conntrack_acct=1)"
)]
async fn connections_count_where_they_are_to(a: Node, gate: Node) -> netlab::Result {
    for _ in 0..3 {
        a.ping("10.1.0.1").await?;
    }
    let flows = gate.conntrack()?;
    assert!(!flows.is_empty());
    for flow in flows {
        // An echo request of 64 bytes with its IP header.
        assert_eq!((flow.protocol, flow.original.counted), (FlowProtocol::Icmp, Some((1, 84))), "{flow}");
        assert_eq!(flow.reply.counted, Some((1, 84)), "{flow}");
    }
    Ok(())
}

#[netlab::test(topology = NAT)]
async fn what_did_not_change_as_expected_is_a_table(lab: Lab) -> netlab::Result {
    let [client, far, gate] = ["client", "far", "gate"].map(|name| lab.node(name));
    let (client, far, gate) = (client?, far?, gate?);
    let mut before = gate.counters()?;
    client.ping(far.addr4()).await?;
    // What counts from the start of the lab differs from run to run.
    for interface in &mut before.interfaces {
        interface.tx_dropped = 0;
    }
    let changes = before
        .changed()?
        .rule("masquerade", 1)
        .rule("dnat", 1..=2)
        .rule("no such rule", 1..)
        .tx_dropped("eth0", 1..)
        .rx_errors("eth7", 0);
    insta::assert_snapshot!(changes.clone().check().unwrap_err(), @r#"
    node `gate`: 4 of 5 counters did not change as expected
      counter                      before  after  expected    change
      rule `masquerade` packets    0       1      +1          ✓ +1
      rule `dnat` packets          0       0      +1 to +2    ✗ +0
      rule `no such rule` packets                 +1 or more  ✗ no such counter
      eth0 tx_dropped              0       0      +1 or more  ✗ +0
      eth7 rx_errors                              +0          ✗ no such counter
      node `gate` has no rule like `no such rule`; rules with a counter there:
        inet netlab prerouting fib daddr type local meta l4proto tcp tcp dport 8080 dnat ip to 192.168.1.2:80
        inet netlab prerouting fib daddr type local meta l4proto tcp tcp dport 8080 dnat ip6 to [fd00:1::2]:80
        inet netlab output fib daddr type local meta l4proto tcp tcp dport 8080 dnat ip to 192.168.1.2:80
        inet netlab output fib daddr type local meta l4proto tcp tcp dport 8080 dnat ip6 to [fd00:1::2]:80
        inet netlab postrouting oifname "eth1" masquerade
      node `gate` has no interface `eth7`; interfaces there: lo, eth0, eth1
    "#);
    assert_eq!(changes.before().rule("masquerade")?.packets + 1, changes.after().rule("masquerade")?.packets);
    let error = gate.counters()?.changed()?.check().unwrap_err().to_string();
    assert_eq!(error, "node `gate`: no change was expected of any counter: such a check proves nothing");
    Ok(())
}

/// It may be waited for, too.
#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn a_change_that_comes_late_is_waited_for(a: Node, b: Node) -> netlab::Result {
    let before = b.counters()?;
    let pinging = tokio::spawn(async move {
        for _ in 0..5 {
            a.ping("b").await?;
        }
        netlab::Result::<()>::Ok(())
    });
    eventually(LONG, async || before.changed()?.rx_packets("eth0", 5..).check().map_err(netlab::Error::from))
        .await?;
    pinging.await??;
    Ok(())
}

#[netlab::test(topology = NAT)]
async fn what_comes_to_tables_and_goes_is_told(lab: Lab) -> netlab::Result {
    let [client, far, gate] = ["client", "far", "gate"].map(|name| lab.node(name));
    let (client, far, gate) = (client?, far?, gate?);
    let before = gate.tables()?;
    before.changed()?.check()?;
    client.ping(far.addr4()).await?;
    client.ping(far.addr6()).await?;
    let mac = client.iface("eth0")?.mac.expect("a veth has a MAC address");
    before
        .changed()?
        .appeared(format!("neighbour {} dev eth0 lladdr {mac}", client.addr4()))
        .appeared("flow icmp src=192.168.1.1 dst=203.0.113.1 src=203.0.113.1 dst=203.0.113.2")
        .appeared("flow icmpv6 ")
        .check()?;

    let before = far.tables()?;
    let listener = far.tcp_listener("0.0.0.0:80").await?;
    let listening = far.tables()?;
    let wrong =
        before.changed()?.appeared("tcp LISTEN 0.0.0.0:81").vanished("route").appeared("tcp LISTEN").check();
    insta::assert_snapshot!(wrong.unwrap_err(), @r"
    node `far`: its tables did not change as expected
      ✗  + ..tcp LISTEN 0.0.0.0:81..
      ✗  - ..route..
      ✓  + ..tcp LISTEN..
      what came and went:
        + socket tcp LISTEN 0.0.0.0:80
    ");
    insta::assert_snapshot!(before.changed()?.check().unwrap_err(), @r"
    node `far`: its tables did not change as expected
      nothing was to come or go, and this did:
        + socket tcp LISTEN 0.0.0.0:80
    ");
    drop(listener);
    let vanished = listening.changed()?.vanished("socket tcp LISTEN 0.0.0.0:80");
    assert_eq!(vanished.to_string(), "- socket tcp LISTEN 0.0.0.0:80");
    vanished.check()?;
    let wrong = before.changed()?.appeared("route").check().unwrap_err().to_string();
    assert!(wrong.ends_with("\n  ✗  + ..route..\n  nothing has come or gone"), "{wrong}");
    Ok(())
}

/// Of each table a number that is right, one that is wrong, and what it says then.
#[netlab::test(topology = NAT)]
async fn how_many_came_to_tables_and_went_is_told(lab: Lab) -> netlab::Result {
    let [client, far, gate] = ["client", "far", "gate"].map(|name| lab.node(name));
    let (client, far, gate) = (client?, far?, gate?);
    let before = gate.tables()?;
    client.ping(far.addr4()).await?;
    let ping = client.udp_socket("0.0.0.0:5000").await?;
    ping.send_to(b"?", (far.addr(), 9)).await?;
    let changes = eventually(LONG, async || {
        let changes = before.changed()?;
        changes.clone().flows("udp ", 1).check()?;
        Ok::<_, netlab::Error>(changes)
    })
    .await?;
    changes
        .clone()
        .neighbours("10.", 0)
        .neighbours("203.0.113.1 dev eth1", 1)
        .flows("", 2)
        .routes("", 0)
        .check()?;
    assert_eq!((changes.before().flows.len(), changes.after().flows.len()), (0, 2));
    assert_eq!(changes.before().routes, changes.after().routes);

    let ip = netlab::requires_program("ip");
    far.command(&ip).args(["route", "add", "blackhole", "198.51.100.0/24"]).status().await?;
    let before = far.tables()?;
    far.command(&ip).args(["route", "del", "blackhole", "198.51.100.0/24"]).status().await?;
    let listeners = [far.tcp_listener("0.0.0.0:80").await?, far.tcp_listener("0.0.0.0:81").await?];
    let changes = before.changed()?;
    changes.clone().routes("blackhole", -1).routes("", ..=-1).sockets("tcp LISTEN", 2).check()?;
    drop(listeners);
    let wrong = changes
        .routes("blackhole", ..=-2)
        .routes("", -1)
        .sockets("tcp LISTEN", 3..)
        .neighbours("", 0)
        .flows("tcp", 1..=2)
        .fdb("", 0)
        .appeared("0.0.0.0:82")
        .check();
    insta::assert_snapshot!(wrong.unwrap_err(), @r"
    node `far`: its tables did not change as expected
      entries              before  after  expected    change
      route `blackhole`    1       0      -2 or less  ✗ -1
      any route            4       3      -1          ✓ -1
      socket `tcp LISTEN`  0       2      +3 or more  ✗ +2
      any neighbour        1       1      +0          ✓ +0
      flow `tcp`           0       0      +1 to +2    ✗ +0
      any fdb                             +0          ✗ no such table
      node `far` has no forwarding table: a net has one
      ✗  + ..0.0.0.0:82..
      what came and went:
        - route blackhole 198.51.100.0/24 proto boot
        + socket tcp LISTEN 0.0.0.0:80
        + socket tcp LISTEN 0.0.0.0:81
    ");
    Ok(())
}

/// A bridge learns where a node is from what it sends, and forgets it when the wire goes down.
#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn what_a_bridge_learns_and_forgets_is_told(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let program = netlab::requires_program("ip");
    let ip = async |args: &str| a.command(&program).args(args.split(' ')).status().await;
    let lan = lab.net("lan")?;
    // An address that it cannot have heard of before.
    let before = lan.tables()?;
    assert!(ip("link set eth0 address 02:00:00:00:00:99").await?.success());
    a.ping(&b).await?;
    let learned = lan.tables()?;
    before
        .changed()?
        .fdb("02:00:00:00:00:99 ", 1)
        .fdb("(node a)", 1..=2)
        .appeared("fdb 02:00:00:00:00:99")
        .check()?;
    assert!(ip("link set eth0 down").await?.success());
    eventually(LONG, async || {
        learned
            .changed()?
            .fdb("02:00:00:00:00:99", -1)
            .fdb("(node a)", ..=-1)
            .check()
            .map_err(netlab::Error::from)
    })
    .await?;

    let entries = lan.fdb()?;
    let wrong =
        before.changed()?.fdb("node c", 1).routes("", 0).sockets("tcp", 0).check().unwrap_err().to_string();
    let rows: Vec<_> = wrong.lines().take(6).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    net `lan`: its tables did not change as expected
      entries       before  after  expected  change
      fdb `node c`  0       0      +1        ✗ +0
      any route                    +0        ✗ no such table
      socket `tcp`                 +0        ✗ no such table
      net `lan` has a forwarding table, and no routes: nodes have
    ");
    assert!(entries.iter().all(|entry| !entry.learned || entry.node.as_deref() == Some("b")), "{entries:?}");
    Ok(())
}

/// netlab reads nf_tables; what `iptables-legacy` has is named, so that nobody takes its absence for a count of none.
#[netlab::test(topology = "node a")]
async fn rules_that_are_not_read_are_told(lab: Lab, a: Node) -> netlab::Result {
    assert_eq!(a.counters()?.unread, Vec::<String>::new());
    // In a sandbox of one user the host's namespace is made together with the user namespace, and its list is nobody's to read.
    let users = std::fs::read_to_string("/proc/self/uid_map")?;
    let of_one = users.split_ascii_whitespace().last() == Some("1");
    let unread = lab.host().counters()?.unread;
    let unlisted = unread.iter().filter(|entry| entry.ends_with(" (not listed by the kernel here)")).count();
    assert_eq!((unread.len(), unlisted), if of_one { (2, 2) } else { (0, 0) }, "{unread:?}");
    for (family, args) in [("iptables", "-A INPUT"), ("ip6tables", "-t mangle -A INPUT")] {
        let program = netlab::requires_program(&format!("{family}-legacy"));
        let command =
            a.command(&program).args(args.split(' ')).env("XTABLES_LOCKFILE", a.dir()?.join("lock"));
        let output = command.output().await?;
        let error = String::from_utf8_lossy(&output.stderr);
        let added = if output.status.success() { Ok(()) } else { Err(error.trim()) };
        netlab::requires("iptables-legacy", added, "a kernel with `CONFIG_IP_NF_IPTABLES_LEGACY`");
    }
    let counters = a.counters()?;
    assert_eq!(counters.unread, ["ip filter", "ip6 mangle"]);
    assert_eq!(
        counters.rule("INPUT").unwrap_err().to_string(),
        "node `a` has no rule like `INPUT`; no rule there has a counter\n  rules of iptables-legacy are not read; its tables there: \
         ip filter, ip6 mangle"
    );
    Ok(())
}
