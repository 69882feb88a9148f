//! Expectations that do not hold, and how they say so.

use std::process::Command;
use std::time::{Duration, Instant};

use netlab::Expectations;
use netlab::prelude::*;

/// The table of expectations that do not hold, without the time, which is the machine's.
async fn table(expectations: Expectations) -> String {
    let unmet = expectations.check().await.expect_err("they do not hold");
    let text = unmet.to_string();
    let (first, rows) = text.split_once('\n').expect("a table");
    let (said, time) = first.split_once(" after ").expect("a time");
    assert!(time.ends_with('s'), "{first}");
    assert_eq!(unmet.wrong(), rows.matches('✗').count());
    format!("{said}\n{rows}")
}

#[netlab::test(topology = "
    net left   10.0.1.0/24 fd00:1::/64
    net right  10.0.2.0/24 fd00:2::/64
    net narrow 10.0.3.0/24             mtu=1300
    node a     left
    node b     right addr=8.8.8.8/32,2001:db8::8/128
    node mute  right via=none
    node slim  narrow
    router r   left right narrow
")]
async fn every_way_to_fail_is_told_apart(
    lab: Lab,
    a: Node,
    b: Node,
    mute: Node,
    slim: Node,
    r: Node,
) -> netlab::Result {
    let started = Instant::now();
    let right = lab.net("right")?;
    let expectations = lab
        .expect()
        .reaches(&a, b.tcp(80))
        .reaches(&a, b.tcp(81).v4().served())
        .reaches(&a, b.tcp(82).behind("198.51.100.1:82"))
        .reaches(&a, b.udp(82).behind("198.51.100.1:82"))
        .reaches(&a, b.tcp(82).behind("[2001:db8:1::1]:82"))
        .reaches(&a, b.tcp(80).behind("8.8.8.8:80"))
        .reaches(&a, b.udp(53).behind("[2001:db8::8]:53"))
        .reaches(&mute, a.icmp().v4())
        .reaches(&a, mute.icmp().v6())
        .reaches(&a, mute.tcp(80).v4())
        .sees_source(&a, b.tcp(80), r.addr_on(&right)?)
        .mtu(&a, &slim, 1500)
        .mtu(&a, b.icmp().v6(), 1280)
        .within(Duration::from_millis(500));
    insta::assert_snapshot!(table(expectations).await, @r"
    lab `every_way_to_fail_is_told_apart`: 10 of 14 expectations do not hold
      from  to           at                  expected       seen
      a     b tcp/80     10.0.2.1            reached        ✓ reached, from 10.0.1.1
      a     b tcp/80     fd00:2::1           reached        ✓ reached, from fd00:1::1
      a     b tcp/81     10.0.2.1            reached        ✗ refused
      a     b tcp/82     198.51.100.1:82     reached        ✗ no route (says r, 10.0.1.2)
      a     b udp/82     198.51.100.1:82     reached        ✗ no route (says r, 10.0.1.2)
      a     b tcp/82     [2001:db8:1::1]:82  reached        ✗ no route (says r, fd00:1::2)
      a     b tcp/80     8.8.8.8:80          reached        ✓ reached, from 10.0.1.1
      a     b udp/53     [2001:db8::8]:53    reached        ✓ reached, from fd00:1::1
      mute  a icmp       10.0.1.1            reached        ✗ no route
      a     mute icmp    fd00:2::2           reached        ✗ timed out
      a     mute tcp/80  10.0.2.2            reached        ✗ timed out
      a     b tcp/80     10.0.2.1            from 10.0.2.3  ✗ reached, from 10.0.1.1
      a     slim icmp    10.0.3.1            path MTU 1500  ✗ path MTU 1300 (says r, 10.0.1.2)
      a     b icmp       fd00:2::1           path MTU 1280  ✗ path MTU 1500
    ");
    assert!(started.elapsed() < Duration::from_secs(15));
    Ok(())
}

/// That nobody listens on a port is ICMP's to say, and it does not say it as often as it is asked.
#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan")]
async fn a_udp_port_without_a_program_is_refused(lab: Lab, a: Node, b: Node) {
    let expectations = lab.expect().reaches(&a, b.udp(53).served()).within(Duration::from_millis(50));
    let text = table(expectations).await;
    assert!(text.contains("✗ refused (says b, 10.0.0.2)"), "{text}");
    assert!(text.contains("✗ refused (says b, fd00::2)"), "{text}");
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan; node c lan")]
async fn what_is_reached_though_it_should_not_be_is_marked(
    lab: Lab,
    a: Node,
    b: Node,
    c: Node,
) -> netlab::Result {
    let expectations = lab
        .expect()
        .not_reaches(&a, b.tcp(80))
        .while_reached_by(&c)
        .not_reaches(&a, &b)
        .while_reaching(&c)
        .within(Duration::from_millis(100));
    insta::assert_snapshot!(table(expectations).await, @r"
    lab `what_is_reached_though_it_should_not_be_is_marked`: 2 of 4 expectations do not hold
      from  to        at        expected           seen
      a     b tcp/80  10.0.0.2  not reached        ✗ reached, from 10.0.0.1
      c     b tcp/80  10.0.0.2  reached (control)  ✓ reached, from 10.0.0.3
      a     b icmp    10.0.0.2  not reached        ✗ reached
      a     c icmp    10.0.0.3  reached (control)  ✓ reached
    ");

    // What is down reaches nothing, and proves nothing by it.
    let expectations = lab
        .expect()
        .not_reaches(&a, b.tcp(80).served())
        .while_reached_by(&c)
        .within(Duration::from_millis(100));
    insta::assert_snapshot!(table(expectations).await, @r"
    lab `what_is_reached_though_it_should_not_be_is_marked`: 1 of 2 expectations does not hold
      from  to        at        expected           seen
      a     b tcp/80  10.0.0.2  not reached        ✓ refused
      c     b tcp/80  10.0.0.2  reached (control)  ✗ refused
    ");
    Ok(())
}

/// Its own kernel says so after three seconds without an answer to ARP.
#[netlab::test(
    topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan sysctl(net.ipv4.conf.eth0.arp_ignore=8)"
)]
async fn who_does_not_answer_to_arp_is_unreachable(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let expectations =
        lab.expect().reaches(&a, b.tcp(80)).reaches(&a, b.icmp().v4()).within(Duration::from_millis(4_500));
    insta::assert_snapshot!(table(expectations).await, @r"
    lab `who_does_not_answer_to_arp_is_unreachable`: 2 of 3 expectations do not hold
      from  to        at        expected  seen
      a     b tcp/80  10.0.0.2  reached   ✗ host unreachable (says a, 10.0.0.1)
      a     b tcp/80  fd00::2   reached   ✓ reached, from fd00::1
      a     b icmp    10.0.0.2  reached   ✗ host unreachable (says a, 10.0.0.1)
    ");
    Ok(())
}

#[netlab::test(
    topology = "net lan 10.0.0.0/24; node a lan; node b lan sysctl(net.ipv4.icmp_echo_ignore_all=1)"
)]
async fn losses_out_of_bounds_are_told(lab: Lab, a: Node, b: Node) -> netlab::Result {
    let expectations = lab.expect().reaches(&a, b.tcp(80)).loses(&a, &b, 0.05..=0.15, 40);
    insta::assert_snapshot!(table(expectations).await, @r"
    lab `losses_out_of_bounds_are_told`: 1 of 2 expectations does not hold
      from  to        at        expected                  seen
      a     b tcp/80  10.0.0.2  reached                   ✓ reached, from 10.0.0.1
      a     b icmp    10.0.0.2  5.0 to 15.0 % of 40 lost  ✗ 100.0 % lost (40 of 40)
    ");
    lab.expect().reaches(&a, b.tcp(80)).loses(&a, &b, 1.0..=1.0, 40).check().await?;
    // What is counted is not counted before the rest holds.
    let wrong = lab.expect().reaches(&a, &b).loses(&b, &a, 0.0..=0.0, 40).within(Duration::from_millis(50));
    insta::assert_snapshot!(table(wrong).await, @r"
    lab `losses_out_of_bounds_are_told`: 2 of 2 expectations do not hold
      from  to      at        expected                 seen
      a     b icmp  10.0.0.2  reached                  ✗ timed out
      b     a icmp  10.0.0.1  0.0 to 0.0 % of 40 lost  ✗ could not be probed: the rest has to hold before
    ");
    Ok(())
}

#[netlab::test(topology = "
    net lan 10.0.0.0/24 fd00::/64
    net four 10.4.0.0/24
    net six fd06::/64
    node a lan
    node b lan
    node four four
    node six six
")]
fn what_makes_no_sense_is_told_at_once(lab: Lab, a: Node, b: Node, four: Node, six: Node) {
    let started = Instant::now();
    let expectations = lab
        .expect()
        .reaches(&four, six.tcp(80))
        .reaches(&a, four.tcp(80).v6())
        .sees_source(&a, &b, b.addr4())
        .loses(&a, b.tcp(80), 0.0..=0.0, 10)
        .reaches(&a, b.tcp(80).behind("no-such-name:80"))
        .reaches(&a, b.tcp(80).behind("no port"))
        .not_reaches(&four, b.tcp(80))
        .while_reached_by(&a)
        .not_reaches(&a, b.tcp(81))
        .while_reached_by(&four)
        .loses(&a, &b, 0.0..=0.0, 100_000)
        .within(Duration::from_secs(60));
    let text = expectations.check_blocking().unwrap_err().to_string();
    let (_, rows) = text.split_once('\n').expect("a table");
    insta::assert_snapshot!(rows, @r"
    from  to           at        expected                     seen
    four  six tcp/80             reached                      ✗ could not be probed: the two have no addresses of one IP version
    a     four tcp/80            reached                      ✗ could not be probed: the two have no addresses of IPv6
    a     b icmp                 from 10.0.0.2                ✗ could not be probed: whom ICMP echo comes from cannot be asked: give `.tcp(..)` or `.udp(..)`
    a     b tcp/80               0.0 to 0.0 % of 10 lost      ✗ could not be probed: loss is counted by ICMP echo: give a node, or `.icmp()`
    a     b tcp/80               reached                      ✗ could not be probed: nothing in the lab is called `no-such-name`
    a     b tcp/80               reached                      ✗ could not be probed: `no port` is no address with a port, as in `web:80`
    four  b tcp/80     10.0.0.2  not reached                  ✓ no route
    a     b tcp/80     10.0.0.2  reached (control)            ✓ reached, from 10.0.0.1
    a     b tcp/80     fd00::2   reached (control)            ✓ reached, from fd00::1
    a     b tcp/81     10.0.0.2  not reached                  ✗ reached, from 10.0.0.1
    a     b tcp/81     fd00::2   not reached                  ✗ reached, from fd00::1
    four  b tcp/81               reached (control)            ✗ could not be probed: no control over IPv6, of which they have no addresses: narrow both
    four  b tcp/81     10.0.0.2  reached (control)            ✗ no route
    a     b icmp                 0.0 to 0.0 % of 100000 lost  ✗ could not be probed: ICMP numbers no more than 65535 echoes
    ");
    assert!(started.elapsed() < Duration::from_secs(20));

    let nothing = lab.expect().check_blocking().unwrap_err().to_string();
    assert!(nothing.contains("nothing was expected"), "{nothing}");
}

#[netlab::test(topology = "
    net left   10.0.1.0/24
    net right  10.0.2.0/24
    node a     left
    node b     right
    node c     right via=none
    router r   left right
")]
async fn the_matrix_shows_who_is_cut_off(lab: Lab, a: Node, b: Node, c: Node) -> netlab::Result {
    let seen = lab.reachability().await?;
    insta::assert_snapshot!(seen, @r"
    lab `the_matrix_shows_who_is_cut_off`: who (left) reaches whom (above), by ICMP echo and TCP

      IPv4  a           b  c            r
      a     ·           ✓  ✗ timed out  ✓
      b     ✓           ·  ✓            ✓
      c     ✗ no route  ✓  ·            ✓
      r     ✓           ✓  ✓            ·
    ");
    assert!(!seen.is_complete() && seen.reaches(&b, &c) && !seen.reaches(&a, &c));
    assert_eq!(seen.misses(&c, &a)[0].kind, netlab::MissKind::NoRoute);
    Ok(())
}

/// What `forgotten_expectations_fail_the_test` runs it with.
const FORGET: &str = "NETLAB_TEST_FORGET";

/// Run again by `forgotten_expectations_fail_the_test`.
#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan; node c lan")]
async fn forgets(lab: Lab, a: Node, b: Node, c: Node) -> netlab::Result {
    #[expect(clippy::disallowed_methods, reason = "tells the run that is to fail from the others")]
    let how = std::env::var(FORGET).unwrap_or_default();
    let expectations = lab.expect().reaches(&a, b.tcp(80)).not_reaches(&c, &b).while_reached_by(&a);
    match how.as_str() {
        "dropped" => drop(expectations),
        "not awaited" => drop(expectations.check()),
        "kept" => std::mem::forget(expectations),
        "without control" => drop(lab.expect().not_reaches(&a, &b)),
        "failed" => Err("something else")?,
        _ => assert!(expectations.within(Duration::ZERO).check().await.is_err()),
    }
    Ok(())
}

#[netlab::test]
fn forgotten_expectations_fail_the_test() -> netlab::Result {
    for (how, expected) in [
        ("dropped", "3 expectations of"),
        ("not awaited", "3 expectations of"),
        ("kept", "3 expectations of"),
        ("without control", "1 expectation of"),
        ("failed", "something else"),
        ("", ""),
    ] {
        let run = Command::new(std::env::current_exe()?)
            .args(["--exact", "unmet::forgets"])
            .env(FORGET, how)
            .output()?;
        let written = String::from_utf8(run.stdout)?;
        assert_eq!(run.status.success(), how.is_empty(), "{how}: {written}");
        assert!(written.contains(expected), "{how}: {written}");
    }
    Ok(())
}
