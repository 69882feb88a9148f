//! Expectations of who reaches whom: those that hold.

use std::time::{Duration, Instant};

use netlab::prelude::*;
use tokio::io::AsyncWriteExt;

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan; node c lan")]
async fn what_is_there_is_reached_though_nothing_listens(
    lab: Lab,
    a: Node,
    b: Node,
    c: Node,
) -> netlab::Result {
    for _again in 0..2 {
        lab.expect()
            .reaches(&a, b.tcp(80))
            .reaches(&c, b.tcp(80))
            .reaches(&a, b.udp(53))
            .reaches(&a, &b)
            .reaches(&b, a.icmp().v6())
            .reaches(&a, a.tcp(80))
            .sees_source(&a, b.tcp(80), a.addr4())
            .sees_source(&a, b.tcp(80), a.addr6())
            .sees_source(&c, b.udp(53), c.addr6())
            .loses(&a, &b, 0.0..=0.0, 50)
            .mtu(&a, &b, 1500)
            .check()
            .await?;
        // Nothing of it stays to be in the way of a program.
        for node in lab.nodes() {
            assert_eq!(node.sockets()?, []);
        }
    }
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan")]
async fn a_program_that_listens_is_left_alone(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let listener = b.tcp_listener("[::]:80").await?;
    let udp = b.udp_socket("0.0.0.0:53").await?;
    b.spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((_length, peer)) = udp.recv_from(&mut buffer).await {
            udp.send_to(b"something", peer).await?;
        }
        std::io::Result::Ok(())
    });
    lab.expect()
        .reaches(&a, b.tcp(80).served())
        .reaches(&a, b.tcp(80))
        .reaches(&a, b.udp(53).v4().served())
        .sees_source(&a, b.tcp(80), a.addr4())
        .sees_source(&a, b.tcp(80), a.addr6())
        .check()
        .await?;
    listener.accept().await?.0.write_all(b"still here").await?;
    Ok(())
}

#[netlab::test(topology = "
    net lan 192.168.1.0/24 fd00:1::/64
    net wan 203.0.113.0/24 fd00:2::/64
    node client lan
    node web    lan=.80,::80
    node far    wan via=none
    router gate lan wan  nat(wan)  dnat(8080/tcp -> web:80)
")]
async fn nat_hides_who_asks_and_who_answers(
    lab: Lab,
    client: Node,
    web: Node,
    far: Node,
    gate: Node,
) -> netlab::Result {
    let wan = lab.net("wan")?;
    let outside = gate.addr_on(&wan)?;
    lab.expect()
        .sees_source(&client, far.tcp(443), outside)
        .sees_source(&client, far.udp(443), outside)
        .sees_source(&far, web.tcp(80).behind((outside, 8080)), far.addr4())
        .not_reaches(&far, web.tcp(80).v4())
        .while_reached_by(&client)
        .not_reaches(&far, web.icmp().v4())
        .while_reaching(gate.icmp().v4())
        .check()
        .await?;
    // Who answers there is not the gate.
    let outcome = lab
        .expect()
        .reaches(&client, web.tcp(80))
        .reaches(&far, gate.tcp(80).behind((outside, 8080)))
        .within(Duration::ZERO)
        .check();
    let text = outcome.await.unwrap_err().to_string();
    assert!(text.ends_with("✗ reached web instead"), "{text}");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan; node c lan")]
async fn expectations_wait_until_all_hold_together(lab: Lab, a: Node, b: Node, c: Node) -> netlab::Result {
    let mut listener = None;
    eventually(Duration::from_secs(20), async || {
        let expected = lab.expect().reaches(&a, b.tcp(80).served()).within(Duration::from_millis(50));
        let outcome = expected.check().await;
        if listener.is_none() {
            let text = outcome.as_ref().expect_err("nobody listens yet").to_string();
            assert!(text.contains("✗ refused"), "{text}");
            listener = Some(b.tcp_listener("0.0.0.0:80").await?);
        }
        Ok::<_, netlab::Error>(outcome?)
    })
    .await?;
    lab.expect().reaches(&a, b.tcp(80).served()).reaches(&c, b.tcp(80).served()).check().await?;
    drop(listener);
    Ok(())
}

/// How often the node has refused a connection (RFC 1213, `tcpOutRsts`).
fn refusals(node: &Node) -> netlab::Result<u64> {
    let text = node.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).expect("names and values");
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(name, _)| *name == "OutRsts").expect("it is counted");
    Ok(value.parse()?)
}

/// Waits until the node has refused more connections than that.
async fn refuses_more_than(count: u64, node: &Node) -> netlab::Result {
    eventually(Duration::from_secs(20), async || match refusals(node)? {
        more if more > count => Ok(()),
        _ => Err(netlab::Error::msg("nobody was refused")),
    })
    .await?;
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn what_is_not_so_yet_is_tried_again(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let check = lab.expect().reaches(&a, b.tcp(80).served()).reaches(&a, &b).within(Duration::from_secs(20));
    let check = tokio::spawn(check.check());
    refuses_more_than(2, &b).await?;
    let _server = b.serve(servers::echo(80)).await?;
    check.await??;
    Ok(())
}

/// Each held once, but never all at the same time.
#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn what_holds_only_in_turn_does_not_hold(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let first = b.serve(servers::echo(80)).await?;
    let both = lab.expect().reaches(&a, b.tcp(80).served()).reaches(&a, b.tcp(81).served());
    let check = tokio::spawn(both.within(Duration::from_secs(3)).check());
    // The one was reached, and the other was not.
    first.until(|seen| seen.accepted > 0).await?;
    refuses_more_than(0, &b).await?;
    first.refuse();
    let _second = b.serve(servers::echo(81)).await?;
    let text = check.await?.unwrap_err().to_string();
    let (_, rows) = text.split_once('\n').expect("a table");
    insta::assert_snapshot!(rows, @r"
    from  to        at        expected  seen
    a     b tcp/80  10.0.0.2  reached   ✗ refused
    a     b tcp/81  10.0.0.2  reached   ✓ reached, from 10.0.0.1
    ");
    Ok(())
}

/// Each of the 60 waits for an answer that never comes: in turn they would take more than 18 seconds.
#[netlab::test(topology = "
    net left  10.0.1.0/24
    net right 10.0.2.0/24
    node a left
    node mute right via=none
    router r left right
")]
async fn all_are_tried_at_once(lab: Lab, a: Node, mute: Node) -> netlab::Result {
    let mut expectations = lab.expect().reaches(&a, a.tcp(80));
    for port in 1..=60 {
        expectations = expectations.reaches(&a, mute.tcp(port));
    }
    let started = Instant::now();
    let unmet = expectations.within(Duration::from_millis(300)).check().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    assert_eq!(unmet.wrong(), 60, "{unmet}");
    Ok(())
}

/// Every third echo request is dropped on its way in.
#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan; node c lan")]
async fn a_part_that_is_lost_is_measured(lab: Lab, a: Node, b: Node, c: Node) -> netlab::Result {
    for (family, echo) in [("iptables", "-p icmp --icmp-type"), ("ip6tables", "-p ipv6-icmp --icmpv6-type")] {
        let rule =
            format!("-A INPUT {echo} echo-request -m statistic --mode nth --every 3 --packet 0 -j DROP");
        let output = b.command(netlab::requires_program(family)).args(rule.split(' ')).output().await?;
        let error = String::from_utf8_lossy(&output.stderr);
        let added = if output.status.success() { Ok(()) } else { Err(error.trim()) };
        netlab::requires("xt_statistic", added, "a kernel with `CONFIG_NETFILTER_XT_MATCH_STATISTIC`");
    }
    lab.expect()
        .loses(&a, &b, 0.2..=0.4, 90)
        .loses(&c, &a, 0.0..=0.0, 90)
        .reaches(&a, b.tcp(80))
        .check()
        .await?;
    // Bounds are of the share, and both count.
    let wrong =
        lab.expect().loses(&a, &b, 0.0..=0.3, 90).loses(&a, b.icmp().v4(), 0.4..=1.0, 90).check().await;
    let text = wrong.unwrap_err().to_string();
    let (_, rows) = text.split_once('\n').expect("a table");
    insta::assert_snapshot!(rows, @r"
    from  to      at        expected                    seen
    a     b icmp  10.0.0.2  0.0 to 30.0 % of 90 lost    ✗ 33.3 % lost (30 of 90)
    a     b icmp  fd00::2   0.0 to 30.0 % of 90 lost    ✗ 33.3 % lost (30 of 90)
    a     b icmp  10.0.0.2  40.0 to 100.0 % of 90 lost  ✗ 33.3 % lost (30 of 90)
    ");
    Ok(())
}

#[netlab::test(topology = "
    net left  10.0.1.0/24 fd00:1::/64
    net right 10.0.2.0/24 fd00:2::/64  mtu=1400
    node a left
    node b right
    router r left right
")]
fn the_path_mtu_is_that_of_the_narrowest_link(lab: Lab, a: Node, b: Node, r: Node) -> netlab::Result {
    let known = || -> Result<Vec<u32>, netlab::LabError> {
        b.addrs().into_iter().map(|addr| a.path_mtu(addr)).collect()
    };
    assert_eq!(known()?, [1500, 1500], "nobody has said anything yet");
    lab.expect().mtu(&a, &b, 1400).mtu(&b, &a, 1400).mtu(&a, &r, 1500).check_blocking()?;
    assert_eq!(known()?, [1400, 1400], "the router has said so");
    assert_eq!(b.path_mtu(a.addr())?, 1400, "the interface is no wider");
    let nowhere = r.path_mtu([192, 0, 2, 1].into()).unwrap_err();
    assert_eq!(nowhere.to_string(), "node `r`: `ip route get 192.0.2.1`");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan; node alone")]
async fn reachability_is_a_matrix(lab: Lab, a: Node, b: Node, alone: Node) -> netlab::Result {
    let seen = lab.reachability().await?;
    assert!(seen.is_complete());
    assert!(seen.reaches(&a, &b) && !seen.reaches(&a, &alone));
    insta::assert_snapshot!(seen, @r"
    lab `reachability_is_a_matrix`: who (left) reaches whom (above), by ICMP echo and TCP

      IPv4  a  b
      a     ·  ✓
      b     ✓  ·
    ");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn checks_may_be_tasks_of_their_own(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let check =
        lab.expect().reaches(&a, b.tcp(80)).not_reaches(&a, b.udp(53).served()).while_reaching(&b).check();
    tokio::spawn(check).await??;
    let matrix = tokio::spawn(async move { lab.reachability().await });
    assert!(matrix.await??.is_complete());
    let _listener = b.tcp_listener("0.0.0.0:80").await?;
    let connecting =
        tokio::spawn(eventually(Duration::from_secs(20), async move || a.tcp_connect("b:80").await));
    connecting.await??;
    Ok(())
}
