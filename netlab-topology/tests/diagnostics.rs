//! Every mistake a topology can have, as it is shown; and that the text beside it is right.

use std::fmt::Write;

use netlab_topology::Topology;

/// The errors of each topology, one after another.
fn errors(cases: &[&str]) -> String {
    let mut text = String::from("\n");
    for case in cases {
        let result = Topology::parse(case, "topology of `test`").and_then(|topology| topology.plan());
        match result {
            Ok(_) => panic!("this is no mistake:\n{case}"),
            Err(errors) => write!(text, "{errors}\n\n").expect("a string takes all"),
        }
    }
    text
}

macro_rules! mistakes {
    ($($name:ident: [$($case:expr),* $(,)?])*) => {
        $(
            #[test]
            fn $name() {
                // The snapshot shows every case anyway.
                insta::with_settings!({ omit_expression => true }, {
                    insta::assert_snapshot!(errors(&[$($case),*]));
                });
            }
        )*
    };
}

mistakes! {
    grammar: [
        "bogus x",
        "nod x",
        "net",
        "net 10.0.0.0/24",
        "net lan 10.0.0.0",
        "net lan 10.0.0.0/24 10.0.1.0/24",
        "net lan 10.0.0.0/24x",
        "net lan; node a lan=",
        "net lan; node a lan=.1.2.3.4",
        "net lan; node a lan=.256",
        "net lan; node a lan=10.0.0.1/24",
        "net lan; node a lan=x",
        "net lan; node a[ lan",
        "net lan; node a[x] lan",
        "net lan; node a[99999999999] lan",
        "net lan; node a lan(dev)",
        "net lan; node a lan(mtu=x)",
        "net lan; node a lan(mac=1:2)",
        "net lan; node a lan(offload=maybe)",
        "net lan; node a lan(mtu=1400",
        "net lan mtu=1400 mtu=1500",
        "net lan; node a 'lan",
        "node 'a\\\nnode b b",
        "node a = b",
        "link a",
    ]

    node_attributes: [
        "node a via",
        "node a addr=x",
        "node a firewall=pf",
        "node a route(default via=b)",
        "node a route(10.0.0.0/8)",
        "node a route(10.0.0.0/8 by=b)",
        "router a nat",
        "router a nat()",
        "router a nat(lan by=x)",
        "net lan; router a lan nta(lan)",
        "router a dnat(80 -> b)",
        "router a dnat(80/sctp -> b)",
        "router a dnat(0/tcp -> b)",
        "router a dnat(80/tcp b)",
        "router a dnat(80/tcp -> b:99999)",
        "router a dnat(80/tcp -> b:)",
        "router a dnat(80/tcp -> :80)",
        "router a dnat(80/tcp -> 2001:db8::1:80)",
        "router a dnat(80/tcp -> b by=lan)",
        "node a sysctl(net.ipv4.ip_forward)",
        "node a sysctl(net.ipv4.ip_forward=)",
        "router a forward",
        "node a forward forward",
        "node a firewall=nft firewall=nft",
    ]

    misplaced: [
        "net lan via=gw",
        "net lan foo=1",
        "node a; node b; link a b mac=02:00:00:00:00:01",
        "node a; node b; link a b dev=eth7",
        "net lan; node a lan mtu=1400",
        "net lan; node a lan(via=gw)",
        "node a delay=20ms",
        "net lan; node a lan(forwrad=1)",
    ]

    reserved: [
        "node a allow(80/tcp) deny(22/tcp)",
        "net lan delay=20ms jitter=1ms loss=1% rate=1mbit duplicate=1% reorder=1% corrupt=1% limit=10 profile=lte",
        "net lan; node a lan(up(delay=20ms))",
        "node a; node b; link a b down(loss=1%)",
        "net wan; router a wan nat(wan full-cone)",
        "net wan; router a wan nat(wan restricted) nat(wan port-restricted) nat(wan symmetric) nat(wan cgnat)",
    ]

    machine_grammar: [
        "net lan port",
        "net lan port=",
        "net lan dev",
        "net lan takeover=on",
        "net lan port=eth1 port=eth2",
        "net lan takeover takeover",
        "node a nic",
        "node a nic()",
        "node a nic(eth1",
        "node a nic(eth1 forse)=10.1.1.83/24",
        "node a nic(eth1 mtu=1400)",
        "node a nic(eth1)=10.1.1.83",
        "node a nic(eth1)=.83",
        "node a nic(eth1)=2001:db8::1",
        "node host real real",
        "net lan real",
        "node a port=eth1",
        "node a takeover",
        "net lan; node a lan(force)",
    ]

    machine: [
        "node a real",
        "node host[2] real",
        "node a[2] nic(eth1)=10.1.1.83/24",
        "node host real nic(eth1)=10.1.1.83/24",
        "node a nic(eth1)\nnode b nic(eth1)",
        "net lan port=eth1\nnet wan dev=eth1\nnode b nic(eth1)",
        "net lan dev=eth1\nnode a nic(eth1)",
        "node a nic(lo); node b nic(an-interface-with-a-long-name)",
        "net lan port='a b'",
        "net lan port=eth1 dev=eth0",
        "net lan takeover force",
        "net lan dev=eth0 takeover force",
        "net lan port=eth1 takeover",
        "net lan port=eth1 takeover; node host lan",
        "net lan port=eth1 takeover; node host real",
        "net lan 10.1.1.0/24 port=eth1 takeover; node host real lan=.51",
        "net lan 10.1.1.0/24 2001:db8::/64 dev=eth1; node host real lan=.51,::1",
        "net lan 10.1.1.0/24 dev=eth1; node host real lan=.0",
        "net lan 10.1.1.0/24 dev=eth0\nnode a lan",
        "net lan 10.1.1.0/24 port=eth0\nnode a[2] lan",
        "net lan dev=eth0\nnode a lan=.7",
        "net lan dev=eth0\nnode a lan=10.1.1.7 via=10.1.1.1",
        "net lan dev=eth0 mac=02:00:00:00:00:01 offload=off; node a lan(offload=off)",
        "net lan dev=eth0; node host real lan(dev=x mtu=1400 mac=02:00:00:00:00:01 offload=off)",
        "net lan port=eth1 takeover mac=02:00:00:00:00:01; node host real lan(mac=02:00:00:00:00:02)",
        "net eth1 port=eth1; node host eth1",
        "net eth1 port=eth2; node host real eth1; node a nic(eth1)",
        "net a-name-that-is-too-long; node host real a-name-that-is-too-long",
        "net lan; node a lan(dev=eth1) nic(eth1)",
        "node host real firewall=nft",
        "node host real nat(wan); net wan",
        "net lan; net wan dev=eth0; router host real wan nat(lan)",
        "node machine",
        "node a nic(eth1) via=10.1.1.1",
        "node a nic(eth1)=10.1.1.83/24 via=10.1.2.1",
        "net lan 10.1.1.0/24 dev=eth0; router host real lan; node a lan=.2 via=host",
        "net lan 10.1.1.0/24 dev=eth0; router a lan=.2; node host real lan via=a",
        "net lan 10.1.1.0/24 port=eth1 takeover; router host real lan; node a lan=.2 route(10.9.0.0/16 via=host)",
        "net wan; net lan dev=eth1; router a wan lan dnat(80/tcp -> b); node b lan",
    ]

    machine_addresses: [
        "node a nic(eth1)=10.1.1.0/24; node b nic(eth2)=10.1.1.255/24; node c nic(eth3)=2001:db8::/64",
        "node a nic(eth1)=127.0.0.1/8; node b nic(eth2)=224.0.0.1/24",
        "node a nic(eth1)=10.1.1.83/24; node b nic(eth2)=10.1.1.83/24",
        "node a nic(eth1)=10.1.1.83/24,10.1.1.83/16",
        "net lan 10.1.1.0/24; node b lan; node a nic(eth1)=10.1.1.83/24",
        "node b; node c; link b c 10.1.0.0/16; node a nic(eth1)=10.1.1.83/24",
        "net lan 10.1.1.0/24 port=eth2; node b lan=.83; node a nic(eth1)=10.1.1.83/24",
    ]

    names: [
        "net lan\nnode a lam\nnode b wan",
        "node a fowrard",
        "node a\nnode b a",
        "net lan\nnet lan",
        "net lan; net LAN",
        "node a\nnode a",
        "node a\nnode A",
        "node web1\nnode web[2]",
        "node web[2]\nnode web2",
        "node web[2]\nnode web",
        "node host\nnode host",
        "node host[2]",
        "node switch; node localhost; node none",
        "net via; net mtu; net dev",
        "node 1a; node a.b; node a-; net é",
        "node '' ; net 'a b'",
        &format!("node {}", "a".repeat(64)),
        &format!("node {}[10]", "a".repeat(62)),
        "node a[0]",
        "node a[20000]",
        "node a[6000]; node b[6000]",
        "link a b; node a; node c",
        "node a; link a a",
        "node web[3]; node a; link a web",
        "net lan; node a lan lan",
        "node a; node b; link a b; node c a-b",
        "net lan; router a lan nat(wam)",
        "net lan; router a lan via=b route(10.0.0.0/8 via=c) dnat(80/tcp -> d)",
    ]

    subnets: [
        "net lan 192.168.1.7/24",
        "net lan 224.0.0.0/24; net l2 127.0.0.0/8; net l3 fe80::/64; net l4 0.0.0.0/0; net l5 ::/0",
        "net a 10.0.0.0/8\nnet b 10.1.0.0/16",
        "net b 10.1.0.0/16\nnet a 10.0.0.0/8",
        "net a 2001:db8::/48\nnode x; node y\nlink x y 2001:db8:0:1::/64",
        "node x; node y; link x y 10.0.0.1/32",
        "net lan 10.0.0.0/30; node a[3] lan",
        "net lan 2001:db8::/127; node a[3] lan",
        "net a 192.0.2.0/24; net b 198.51.100.0/24; net c 203.0.113.0/24; net d 198.18.0.0/15; net lan",
        "net lan; node a[1500] lan",
    ]

    addresses: [
        "net lan 192.168.1.0/24; node a lan=10.0.0.1",
        "net lan 192.168.1.0/24; node a lan=.1.11",
        "net lan 192.168.1.0/24; node a lan=.0; node b lan=.255",
        "net lan 2001:db8::/64; node a lan=::",
        "net lan 192.168.1.0/24\nnode a lan=::1",
        "net lan\nnode a lan=192.168.1.7",
        "net lan 192.168.1.0/24\nnode a lan=.7\nnode b lan=.7",
        "net lan 192.168.1.0/24\nnode web[3] lan=.7\nnode b lan=192.168.1.9",
        "net lan 192.168.1.0/28; node web[20] lan=.1",
        "net lan 192.168.1.0/24; node a lan=.1,.1",
        "node a addr=224.0.0.1 addr=127.0.0.1/8,::1",
        "node a addr=8.8.8.8 addr=8.8.8.8/32",
    ]

    devices: [
        "net lan; node a lan(dev=a-name-that-is-too-long)",
        "net lan; node a lan(dev=lo)",
        "net lan; node a lan(dev='a/b')",
        "net a-name-that-is-too-long; node host a-name-that-is-too-long",
        "net default; node host default",
        "net a; net b; node x[2] a(dev=data) b(dev=data)",
        "net a; net b; node host a b(dev=a)",
        "net lan mtu=67; net lan2 mtu=65536",
        "net lan 2001:db8::/64 mtu=1279; node a lan(mtu=1000)",
        "node a; node b; link a b 2001:db8::/64 mtu=1000",
        "net lan; node a lan(mtu=9000)",
        "net lan mac=01:00:00:00:00:00; node a lan(mac=00:00:00:00:00:00)",
        "net lan; node a lan(mac=02:00:00:00:00:01); node b lan(mac=02:00:00:00:00:01)",
        "net lan; node a[2] lan(mac=02:00:00:00:00:01); node b lan(mac=02:00:00:00:00:02)",
    ]

    routes: [
        "net lan\nrouter gw1 lan via=none\nrouter gw2 lan via=none\nnode client lan",
        "net a 10.1.0.0/24 2001:db8:1::/64\nnet b 10.2.0.0/24 2001:db8:2::/64\nrouter r1 a\nrouter r2 b\nrouter mid a b",
        "router a via=none; router b via=none; link host a; link host b",
        "net lan; node gw lan; node a lan via=gw",
        "net lan; net wan; router gw wan; node a lan via=gw",
        "net lan; router gw; node a via=gw",
        "net lan; router gw lan via=gw",
        "net lan 10.0.0.0/24; node a lan via=10.0.1.1",
        "node a via=10.0.0.1",
        "net lan 10.0.0.0/24; node a lan=.1 via=10.0.0.1",
        "net lan; router gw lan; router gw2 lan; node a lan via=gw via=gw2",
        "net lan; router gw lan; node a lan via=gw via=gw",
        "net lan; router gw lan; node a lan route(0.0.0.0/0 via=gw)",
        "net lan; router gw lan; node a lan route(10.0.0.1/8 via=gw)",
        "net lan; router gw lan; node a lan route(10.0.0.0/8 via=gw) route(10.0.0.0/8 dev=lan)",
        "net lan 10.0.0.0/24; router gw lan; node a lan route(10.0.0.0/24 via=gw)",
        "net lan; router gw lan; node a lan route(2001:db8::/64 via=gw)",
        "net lan; node a lan route(2001:db8::/64 dev=lan)",
        "net lan 10.0.0.0/24; node a lan route(2001:db8::/64 via=10.0.0.9)",
        "net lan; net wan; node a lan route(10.0.0.0/8 dev=wan)",
    ]

    nat: [
        "net lan; net wan; router a lan nat(wan)",
        "router a nat(wan)",
        "net wan; router a wan nat(wan) nat(wan)",
        "net wan; router a wan nat(wan from=10.0.0.1/8)",
        "net wan; router a wan nat(wan from=lan)",
        "net wan; node a wan nat(wan) dnat(80/tcp -> b); node b wan",
        "net wan; router a wan dnat(80/tcp -> 10.0.0.1)",
        "net wan; router a wan dnat(80/tcp -> blue); node blue",
        "net wan; net lan; router a wan dnat(80/tcp -> b); node b lan",
        "net wan; router a wan dnat(80/tcp -> b)\nnode b[2] wan",
        "net wan; net lan; node b wan; router a wan dnat(80/tcp -> b from=lan)",
        "net wan; node b wan; router a wan dnat(80/tcp -> b) dnat(80/tcp -> b:8080 from=wan)",
    ]

    sysctls: [
        "node a sysctl(kernel.hostname=x)",
        "node a sysctl(net..ipv4=x) sysctl(net.//.x=1) sysctl(net.ipv4.é=1)",
        "node a sysctl(net.ipv4.ip_forward=1) sysctl(net.ipv4.ip_forward=0)",
        "node a sysctl(net.ipv4.conf.eth0.rp_filter=1)",
        "net lan; node a lan sysctl(net.ipv4.conf.eth1.rp_filter=1)",
        "net lan 2001:db8::/64; node a lan sysctl(net.ipv6.conf.all.disable_ipv6=1)",
        "net lan 2001:db8::/64; node a lan sysctl(net.ipv6.conf.eth0.disable_ipv6=1)",
        "node a sysctl(net.ipv4.x='a\\nb')",
    ]

    all_at_once: [
        "net lan 192.168.1.0/24
         node a lam=.1 via=gw
         node a lan=.300
         node web[2] lan=.255 sysctl(kernel.x=1)
         router gw lan=.1 nat(wan) delay=1ms",
        "net lan 192.168.1.0/24
         node a lam=.1 via=gw
         node b lan=.255 via=a
         router r lan=.1 nat(wan)
         router r2 lan=.1 mtu=3",
    ]

    a_hidden_declaration_makes_no_further_errors: [
        "ne lan\nnode a lan",
        "node web[x] \nnode a via=web1",
        "net lan 10.0.0.0/99\nrouter gw lan=10.0.0.1\nnode a lan=10.0.0.7(mtu=9000) via=gw",
        "net lan; node a lan(dev= nat(lan) forward",
        "net lan; node a nat(lan) lan(dev= forward",
        "net lan; node gw lan(dev= forward\nnode a lan via=gw",
        "net lan; node x lan(dev=) lan2(dev=eth0); net lan2",
    ]
}

#[test]
fn carets_stand_below_what_is_wrong() {
    for text in [
        "node a lam",
        "\t\tnode\ta\tlam",
        "   node  a   lam   # comment",
        "net 'ä'; node 日本 lam",
        "node a lam\r\nnode b",
        "node '\u{1b}' lam",
        "node 'a\u{301}' lam",
    ] {
        let topology = Topology::parse(text, "x").expect("good grammar");
        let errors = topology.plan().expect_err("an unknown net");
        let error =
            errors.iter().find(|error| error.message().contains("lam")).expect("the error about `lam`");
        assert_eq!(&text[error.span().range()], "lam");
        let shown = error.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let at = lines[2].find("lam").expect("the line is shown");
        let carets = lines[3].find("^^^").expect("carets are shown");
        let width = |text: &str| unicode_width::UnicodeWidthStr::width(text);
        assert_eq!(width(&lines[2][..at]), width(&lines[3][..carets]), "\n{shown}");
    }
}

#[test]
fn columns_count_characters() {
    let topology = Topology::parse("net a\n  node 'ä' lam", "x").expect("good grammar");
    let errors = topology.plan().expect_err("an unknown net");
    let error = errors.iter().find(|error| error.message().contains("lam")).expect("the error about `lam`");
    assert_eq!((error.line(), error.column()), (2, 12));
}
