//! What holds for any topology and any text.

mod property;

use std::collections::{BTreeMap, BTreeSet};

use netlab_topology::model::Statement;
use netlab_topology::plan::{Dev, DevRole, NicUsage, Op, Place, Plan, Wire};
use netlab_topology::{Builder, IfName, NodeBuilder, Topology};
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
    "nic",
    "nic(eth1)=10.1.1.83/24",
    "port",
    "port=eth1",
    "dev=eth1",
    "takeover",
    "force",
    "\nnode host real ",
    "firewall=iptables",
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
            let node = match kind & 48 {
                32 => node.forward().firewall("nft"),
                48 => node.real().firewall("iptables").nic(h),
                16 => node.nic_with(g, |nic| nic.force().addr(format!("{v4}/{}", number % 33))),
                _ => node,
            };
            let node = node.nat(b).route_on(format!("{v4}/7"), g).addr(v6);
            match kind & 192 {
                0 => node.via(v4).via(v6).route(format!("{v6}/77"), v4),
                64 => node.dnat("80/tcp", format!("[{v6}]:1")).dnat_from("53/udp", v4, h),
                128 => node.nat_from(b, format!("{v4}/9")),
                _ => node.via("none"),
            }
        };
        builder = match kind & 7 {
            0 => builder.net(a, |net| net.cidr(format!("{v4}/{}", number % 33)).mac("02:00:00:00:00:01")),
            1 => builder.net(a, |net| net.port(b).dev(c).takeover().force()),
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
    /// For each net: without an interface of the machine, `port=`, `port= takeover`, `dev=`.
    uplinks: Vec<u8>,
    real: bool,
    /// For each node that is no array, whether an interface of the machine is moved in.
    nics: Vec<bool>,
}

/// Which of the nets a node is on, and with which number where it has to have one.
#[derive(Clone, Copy)]
struct Member<'g> {
    on: &'g [bool],
    number: usize,
    is_real: bool,
}

impl Good {
    /// A topology that may have a takeover has a bridge for it.
    fn uplink(&self, net: usize) -> u8 {
        match self.uplinks[net] {
            2 if !(self.real && self.host[net]) => 1,
            uplink => uplink,
        }
    }

    /// Puts a node on its nets.
    fn attach(&self, mut node: NodeBuilder, member: Member<'_>) -> NodeBuilder {
        for net in (0..self.nets.len()).filter(|net| member.on[*net]) {
            let uplink = self.uplink(net);
            let name = format!("net{net}");
            let is_machines = member.is_real && uplink >= 2;
            node = match uplink > 0 && self.nets[net].0 && !is_machines {
                true => node.at(name, format!(".{}", member.number)),
                false => node.on(name),
            };
        }
        node.via("none")
    }
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
            (
                prop_oneof![Just(vec![0; nets]), prop::collection::vec(0..4_u8, nets)],
                any::<bool>(),
                prop_oneof![Just(vec![false; 6]), prop::collection::vec(any::<bool>(), 6)],
            ),
        )
            .prop_map(|(nets, nodes, host, links, long, (uplinks, real, nics))| Good {
                nets,
                nodes,
                host,
                links,
                long,
                uplinks,
                real,
                nics,
            })
    })
}

/// A topology that has a plan.
fn good_topology(good: &Good) -> Topology {
    let base = if good.long { "a-quite-long-name-of-a-" } else { "" };
    let net_name = |i: usize| format!("net{i}");
    let mut builder = Topology::build();
    for (i, (v4, v6)) in good.nets.iter().enumerate() {
        let uplink = good.uplink(i);
        builder = builder.net(net_name(i), |net| {
            let net = if *v4 { net.cidr(format!("10.{i}.0.0/24")) } else { net };
            let net = if *v6 && uplink == 0 { net.cidr(format!("2001:db8:{i}::/64")) } else { net };
            match uplink {
                0 => net,
                1 => net.port(format!("nic{i}")).force(),
                2 => net.port(format!("nic{i}")).takeover(),
                _ => net.dev(format!("nic{i}")),
            }
        });
    }
    builder = builder.node("host", |node| {
        let node = good.attach(node, Member { on: &good.host, number: 1, is_real: good.real });
        if good.real { node.real() } else { node }
    });
    let mut single = vec!["host".to_owned()];
    for (i, (router, count, member, addr)) in good.nodes.iter().enumerate() {
        let name = format!("{base}node{i}-");
        let make = |node: NodeBuilder| {
            let node = good.attach(node, Member { on: member, number: 10 * i + 11, is_real: false });
            let node = match *count == 0 && good.nics[i] {
                true => node.nic_at(format!("eth{i}"), format!("10.99.{i}.2/24")),
                false => node,
            };
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
            let moved: Vec<ipnet::IpNet>;
            let subnets = match interface.wire {
                Wire::Net(net) => &plan.nets()[net].subnets,
                Wire::Link(link) => &plan.links()[link].subnets,
                Wire::Nic(nic) => {
                    assert_eq!(plan.nics()[nic].name, interface.dev.name, "it keeps its name");
                    moved = interface.addrs.iter().map(ipnet::IpNet::trunc).collect();
                    &moved
                }
            };
            let machines = node.place == Place::HOST
                && matches!(interface.wire, Wire::Net(net) if plan.nics().iter().any(|nic| {
                    nic.usage == NicUsage::Shared { net } || nic.usage == NicUsage::Plugged { net, takeover: true }
                }))
                && plan.machine() == Some(Place::HOST);
            let expected = if machines { 0 } else { subnets.len() };
            assert_eq!(interface.addrs.len(), expected, "an address in each family");
            for addr in &interface.addrs {
                assert!(addrs.insert(addr.addr()), "{addr} twice");
                assert!(subnets.contains(&addr.trunc()), "{addr} outside {subnets:?}");
            }
            if let Some(mac) = interface.mac {
                assert!(macs.insert(mac), "{mac} twice");
                assert!(mac.is_unicast());
            }
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
    if let Some(machine) = plan.machine() {
        places.insert(machine.0);
        let of_the_machine = plan.nics().iter().map(|nic| (nic.name.to_string(), Dev::OF_THE_MACHINE));
        devices.entry(machine.0).or_default().extend(of_the_machine);
    }
    let mut routes = BTreeSet::new();
    for step in plan.steps() {
        let place = step.place.0;
        if let Op::AddNamespace { name } = &step.op {
            assert!(places.insert(place), "{name} twice");
            assert_eq!(*name, plan.places()[place]);
        }
        assert!(places.contains(&place), "{} before its namespace", step.op);
        let mut add = |place: usize, dev: &Dev| {
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
            Op::TakeNic { nic, to, to_name, dev, .. } => {
                assert_eq!(*to_name, plan.places()[to.0]);
                add(to.0, dev);
                Some(nic)
            }
            Op::AddMacvlan { parent, peer_place, peer, peer_name, .. } => {
                assert_eq!(*peer_name, plan.places()[peer_place.0]);
                add(peer_place.0, peer);
                Some(parent)
            }
            Op::PlugNic { nic: dev, bridge, .. } | Op::SetMaster { dev, bridge } => {
                let there = devices.get(&place).and_then(|there| there.get(bridge.name.as_str()));
                assert_eq!(there, Some(&bridge.index), "{} before its bridge is there", step.op);
                Some(dev)
            }
        };
        if let Some(dev) = dev.filter(|dev| dev.name.as_str() != "lo") {
            let known = devices.get(&place).and_then(|there| there.get(dev.name.as_str()));
            assert_eq!(known, Some(&dev.index), "{} before {dev} is there", step.op);
        }
        if let Op::TakeNic { nic, .. } = &step.op {
            devices.entry(place).or_default().remove(nic.name.as_str());
        }
    }
    let all: Vec<usize> = places.into_iter().collect();
    assert_eq!(all, (0..plan.places().len()).collect::<Vec<_>>());
}

/// Other devices in the machine stand wherever the old ones did, and nothing else changes.
fn check_renaming(plan: &Plan, machine: Place) {
    let mut asked = BTreeSet::new();
    let mut back = BTreeMap::new();
    let renamed = plan.with_devs(machine, &mut |dev, role| {
        assert_eq!(role == DevRole::OfTheMachine, dev.is_of_the_machine());
        assert!(asked.insert(dev.name.clone()), "{dev} is asked for twice");
        let index = u32::try_from(asked.len()).expect("few devices") + 7000;
        let name = match role {
            DevRole::Port => IfName::new(format!("p{index}")).expect("a good name"),
            _ => dev.name.clone(),
        };
        back.insert(name.clone(), dev.clone());
        Dev { name, index }
    });
    for step in renamed.steps().iter().filter(|step| step.place == machine) {
        let text = format!("{:?}", step.op);
        assert!(!text.contains("index: 0 ") && !text.contains("index: 0}"), "{text}");
    }
    for net in renamed.nets().iter().filter(|net| net.place == machine) {
        let devs = net.ports.iter().map(|port| &port.dev).chain(&net.bridge);
        assert!(devs.into_iter().all(|dev| dev.index >= 7000), "{net:?}");
        assert!(net.ports.iter().all(|port| port.dev.name.as_str().starts_with('p')), "{net:?}");
    }
    let same = plan.with_devs(machine, &mut |dev, _| dev.clone());
    let again = renamed.with_devs(machine, &mut |dev, _| back[&dev.name].clone());
    assert_eq!(format!("{same:?}"), format!("{plan:?}"));
    assert_eq!(format!("{again:?}"), format!("{plan:?}"));
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
        if let Some(machine) = plan.machine() {
            check_renaming(&plan, machine);
        }
        property::holds_for(topology.text());
    }
}
