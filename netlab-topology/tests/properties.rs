//! What holds for any topology and any text.

mod property;

use std::collections::{BTreeMap, BTreeSet};

use netlab_topology::model::Statement;
use netlab_topology::plan::{Op, Plan, Wire};
use netlab_topology::{Builder, NodeBuilder, Topology};
use proptest::prelude::*;

/// Words that mean something somewhere, which make nonsense interesting.
const WORDS: &[&str] = &[
    "net",
    "link",
    "node",
    "router",
    "host",
    "lan",
    "wan",
    "a",
    "b",
    "web",
    "web1",
    "via",
    "none",
    "forward",
    "route",
    "addr",
    "nat",
    "dnat",
    "sysctl",
    "firewall",
    "nft",
    "iptables",
    "from",
    "dev",
    "mtu",
    "mac",
    "offload",
    "off",
    "delay",
    "real",
    "10.0.0.0/8",
    "192.168.1.0/24",
    "2001:db8::/64",
    "::/0",
    "0.0.0.0/0",
    "10.0.0.1",
    ".11",
    ".1.11",
    "::b",
    "::",
    "80/tcp",
    "web:80",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.eth0.disable_ipv6",
    "02:00:00:00:00:01",
    "1400",
    "0",
    "3",
    "[",
    "]",
    "[3]",
    "(",
    ")",
    "=",
    ",",
    "->",
    "'",
    "\"",
    "\\",
    ";",
    "#",
    "\n",
    " ",
    "\t",
    "é",
    "日",
    "lan=.10",
    "nat(wan from=lan)",
    "dnat(80/tcp -> web1:80)",
    "\nnode ",
    "\nnet ",
    "\nrouter ",
    "\nlink a b ",
];

fn nonsense() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::collection::vec((prop::sample::select(WORDS), prop::bool::ANY), 0..60).prop_map(|words| {
            words.into_iter().map(|(word, space)| format!("{word}{}", if space { " " } else { "" })).collect()
        }),
        1 => "\\PC{0,80}",
        1 => any::<String>(),
    ]
}

/// Names of every kind: good ones, words of the language, and what nobody would write.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z][a-z0-9_-]{0,8}",
        2 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => "[-=,()\\[\\]#;'\" \\\\\n\r\t>:./a1]{0,6}",
        1 => any::<String>(),
    ]
}

type Weird = Vec<(u8, Vec<String>, u32)>;

fn weird() -> impl Strategy<Value = Weird> {
    prop::collection::vec((any::<u8>(), prop::collection::vec(name(), 8), any::<u32>()), 0..6)
}

/// A topology with such names wherever a name can stand, and values of every kind.
fn weird_topology(statements: &Weird) -> Builder {
    let mut builder = Topology::build();
    for (kind, names, number) in statements {
        let [a, b, c, d, e, f, g, h] = &names[..] else { unreachable!("eight names") };
        let number = *number;
        let octets = number.to_be_bytes();
        let v4 = std::net::Ipv4Addr::from(octets);
        let v6 = std::net::Ipv6Addr::from(u128::from(number) << (number % 97));
        let node = |node: NodeBuilder| {
            let node = node
                .on(b)
                .attach(c, |at| {
                    let at = at.addr(format!(".{}.{}", octets[0], octets[1])).addr(v6).mtu(number).dev(d);
                    if kind & 8 > 0 { at.addr(v4) } else { at.offload(kind & 16 > 0) }
                })
                .sysctl(e, f);
            let node = if kind & 32 > 0 { node.forward().firewall("nft") } else { node };
            let node = node.nat(b).route_on(format!("{v4}/7"), g).addr(v6);
            match kind & 192 {
                0 => node.via(v4).via(v6).route(format!("{v6}/77"), v4),
                64 => node.dnat("80/tcp", format!("[{v6}]:1")).dnat_from("53/udp", v4, h),
                128 => node.nat_from(b, format!("{v4}/9")),
                _ => node.via("none"),
            }
        };
        builder = match kind & 7 {
            0 | 1 => builder.net(a, |net| net.cidr(format!("{v4}/{}", number % 33)).mac("02:00:00:00:00:01")),
            2 => builder.link(a, b, |link| link.cidr(format!("{v6}/{}", number % 129)).mtu(number)),
            3 => builder.router(a, node),
            4 => builder.nodes(a, number, node),
            _ => builder.node(a, node),
        };
    }
    builder
}

#[derive(Clone, Debug)]
struct Good {
    nets: Vec<(bool, bool)>,
    nodes: Vec<(bool, u32, Vec<bool>, bool)>,
    host: Vec<bool>,
    links: Vec<(usize, usize)>,
    long: bool,
}

fn good() -> impl Strategy<Value = Good> {
    (1..5_usize).prop_flat_map(|nets| {
        let member = || prop::collection::vec(any::<bool>(), nets);
        (
            prop::collection::vec(any::<(bool, bool)>(), nets),
            prop::collection::vec((any::<bool>(), 0..4_u32, member(), any::<bool>()), 1..6),
            member(),
            prop::collection::vec((0..6_usize, 0..6_usize), 0..5),
            any::<bool>(),
        )
            .prop_map(|(nets, nodes, host, links, long)| Good { nets, nodes, host, links, long })
    })
}

/// A topology that has a plan.
fn good_topology(good: &Good) -> Topology {
    let base = if good.long { "a-quite-long-name-of-a-" } else { "" };
    let net_name = |i: usize| format!("net{i}");
    let mut builder = Topology::build();
    for (i, (v4, v6)) in good.nets.iter().enumerate() {
        builder = builder.net(net_name(i), |net| {
            let net = if *v4 { net.cidr(format!("10.{i}.0.0/24")) } else { net };
            if *v6 { net.cidr(format!("2001:db8:{i}::/64")) } else { net }
        });
    }
    let on_nets = |mut node: NodeBuilder, member: &[bool]| {
        for (i, _) in member.iter().enumerate().filter(|(_, on)| **on) {
            node = node.on(net_name(i));
        }
        node.via("none")
    };
    builder = builder.node("host", |node| on_nets(node, &good.host));
    let mut single = vec!["host".to_owned()];
    for (i, (router, count, member, addr)) in good.nodes.iter().enumerate() {
        let name = format!("{base}node{i}-");
        let make = |node: NodeBuilder| {
            let node = on_nets(node, member);
            if *addr { node.addr(format!("8.8.8.{i}")) } else { node }
        };
        // The name of an array may not end with `-` either.
        let name = format!("{name}x");
        builder = match (*count, *router) {
            (0, true) => builder.router(&name, make),
            (0, false) => builder.node(&name, make),
            (count, true) => builder.routers(&name, count, make),
            (count, false) => builder.nodes(&name, count, make),
        };
        if *count == 0 {
            single.push(name);
        }
    }
    for (a, b) in &good.links {
        if let (Some(a), Some(b)) = (single.get(*a), single.get(*b))
            && a != b
        {
            builder = builder.link(a, b, |link| link);
        }
    }
    builder.finish().expect("good grammar")
}

/// What no plan breaks, whatever the topology.
fn check_invariants(plan: &Plan) {
    let mut addrs = BTreeSet::new();
    let mut macs = BTreeSet::new();
    for node in plan.nodes() {
        for interface in &node.interfaces {
            let subnets = match interface.wire {
                Wire::Net(net) => &plan.nets()[net].subnets,
                Wire::Link(link) => &plan.links()[link].subnets,
            };
            assert_eq!(interface.addrs.len(), subnets.len(), "an address in each family");
            for addr in &interface.addrs {
                assert!(addrs.insert(addr.addr()), "{addr} twice");
                assert!(subnets.contains(&addr.trunc()), "{addr} outside {subnets:?}");
            }
            assert!(macs.insert(interface.mac), "{} twice", interface.mac);
            assert!(interface.mac.is_unicast());
        }
    }
    let mut subnets: Vec<ipnet::IpNet> = plan.nets().iter().flat_map(|net| net.subnets.clone()).collect();
    subnets.extend(plan.links().iter().flat_map(|link| link.subnets.clone()));
    for (i, a) in subnets.iter().enumerate() {
        for b in &subnets[i + 1..] {
            assert!(!a.contains(b) && !b.contains(a), "{a} overlaps {b}");
        }
    }
    check_steps(plan);
}

/// Every step finds what it needs, and nothing is made twice.
fn check_steps(plan: &Plan) {
    let mut places = BTreeSet::from([0]);
    // Name and index of what there is in each namespace.
    let mut devices: BTreeMap<usize, BTreeMap<String, u32>> = BTreeMap::new();
    let mut routes = BTreeSet::new();
    for step in plan.steps() {
        let place = step.place.0;
        if let Op::AddNamespace { name } = &step.op {
            assert!(places.insert(place), "{name} twice");
            assert_eq!(*name, plan.places()[place]);
        }
        assert!(places.contains(&place), "{} before its namespace", step.op);
        let mut add = |place: usize, dev: &netlab_topology::plan::Dev| {
            let there = devices.entry(place).or_default();
            assert!(
                dev.index >= 100 && there.values().all(|index| *index != dev.index),
                "index of {dev} twice"
            );
            assert!(there.insert(dev.name.as_str().to_owned(), dev.index).is_none(), "{dev} twice");
        };
        let dev = match &step.op {
            Op::AddBridge { dev, .. } => {
                add(place, dev);
                None
            }
            Op::AddVeth { end, master, peer_place, peer, peer_name } => {
                add(place, &end.dev);
                add(peer_place.0, &peer.dev);
                assert_eq!(*peer_name, plan.places()[peer_place.0]);
                assert!(places.contains(&peer_place.0));
                assert_ne!(end.dev.index, peer.dev.index, "the ends of {} look like one device", end.dev);
                master.as_ref()
            }
            Op::SetUp { dev }
            | Op::DisableLinkLocal { dev }
            | Op::DisableOffload { dev }
            | Op::AddAddress { dev, .. } => Some(dev),
            Op::AddRoute { dev, destination, .. } => {
                assert!(routes.insert((place, *destination)), "{} twice", step.op);
                Some(dev)
            }
            Op::AddNamespace { .. } | Op::SetSysctl { .. } | Op::Nft(_) | Op::Iptables(_) => None,
            Op::TakeNic { .. } | Op::PlugNic { .. } | Op::SetMaster { .. } | Op::AddMacvlan { .. } => None,
        };
        if let Some(dev) = dev.filter(|dev| dev.name.as_str() != "lo") {
            let known = devices.get(&place).and_then(|there| there.get(dev.name.as_str()));
            assert_eq!(known, Some(&dev.index), "{} before {dev} is there", step.op);
        }
    }
    let all: Vec<usize> = places.into_iter().collect();
    assert_eq!(all, (0..plan.places().len()).collect::<Vec<_>>());
}

#[test]
fn quotes_keep_names_from_being_taken_for_something_else() {
    for text in [
        "node a via='none'",
        "node a via='10.0.0.1'",
        "node a 'via' 'mtu'=.1 'x y'(dev='a b')",
        "node a route(10.0.0.0/8 via='::1') route(10.0.0.0/8 dev='via')",
        "router a nat('from' from='10.0.0.0/8') dnat(80/tcp -> 'b:80':81 from='from')",
        "router a dnat(80/tcp -> '10.0.0.1') dnat(81/tcp -> '[::1]':80)",
        "node a sysctl('net.a b'='  x ') sysctl(net.b='a;b#c') sysctl(net.c=1  2,3 -> 4)",
        "net '' 10.0.0.0/8; link '' 'a\\'b'; node 'node'[3]",
        "node a lan=0:0:0:0:0:0:0:1,::1:2:3:4:5:6:7,::,.0,.1.2.3,10.0.0.1",
    ] {
        assert!(Topology::parse(text, "test").is_ok(), "{text}");
        property::holds_for(text);
    }
    let via = |text: &str| Topology::parse(text, "test").expect("good grammar");
    assert_ne!(via("node a via='none'"), via("node a via=none"));
}

proptest! {
    #[test]
    fn any_text(text in nonsense()) {
        property::holds_for(&text);
    }

    #[test]
    fn what_is_printed_reads_the_same(weird in weird()) {
        let topology = match weird_topology(&weird).finish() {
            Ok(topology) => topology,
            Err(errors) => {
                // Only values can be wrong; a name never is before the topology is planned.
                for error in &errors {
                    let text = error.message();
                    prop_assert!(
                        text.contains("is not") || text.contains("twice") || text.contains("second"),
                        "{errors}"
                    );
                }
                return Ok(());
            }
        };
        for (statement, (_, names, _)) in topology.statements().iter().zip(&weird) {
            let name = match statement {
                Statement::Net(net) => &net.name.value,
                Statement::Link(link) => &link.nodes[0].value,
                Statement::Node(node) => {
                    prop_assert_eq!(&node.attachments[0].net.value, &names[1]);
                    prop_assert_eq!(&node.attributes.sysctls[0].value.key.value, &names[4]);
                    prop_assert_eq!(&node.attributes.sysctls[0].value.value.value, &names[5]);
                    &node.name.value
                }
            };
            prop_assert_eq!(name, &names[0]);
        }
        property::holds_for(topology.text());
    }

    #[test]
    fn plans_hold_together(good in good()) {
        let topology = good_topology(&good);
        let plan = match topology.plan() {
            Ok(plan) => plan,
            Err(errors) => return Err(TestCaseError::fail(errors.to_string())),
        };
        check_invariants(&plan);
        let again = topology.plan().expect("the same topology");
        prop_assert_eq!(format!("{plan:?}"), format!("{again:?}"));
        property::holds_for(topology.text());
    }
}
