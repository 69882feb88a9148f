//! A plan's steps written by hand, with every kind of operation, for tests of this layer alone.
//!
//! `inner` (192.168.1.11, fd00:1::11) - bridge `lan` in the host (.10) - host - link - `outer` (8.8.8.8 on `lo`),
//! the host masquerading what leaves by the link and forwarding its port 8080 to `inner`'s port 80; `side` is on the
//! bridge `br` of the switch namespace with `outer`.

use netlab_topology::plan::{
    Action, Dev, Family, Hook, Iptables, Match, Nft, Op, Place, Proto, Step, Table, VethEnd,
};
use netlab_topology::{IfName, MacAddr};

pub(super) const PLACES: [&str; 5] = ["host", "inner", "outer", "side", "switch"];

pub(super) fn places() -> Vec<String> {
    PLACES.map(str::to_owned).to_vec()
}

fn dev(name: &str, index: u32) -> Dev {
    Dev { name: IfName::new(name).unwrap(), index }
}

fn end(name: &str, index: u32, mac: u8) -> VethEnd {
    VethEnd { dev: dev(name, index), mac: MacAddr([2, 0, 0, 0, 0, mac]), mtu: 1500 }
}

pub(super) fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |place: usize, op| steps.push(Step { place: Place(place), op });
    for (place, name) in PLACES.iter().enumerate().skip(1) {
        add(place, Op::AddNamespace { name: (*name).to_owned() });
    }
    let sysctl = |key: &str, value: &str| Op::SetSysctl { key: key.to_owned(), value: value.to_owned() };
    add(0, sysctl("net.ipv4.ip_forward", "1"));
    add(0, sysctl("net.bridge.bridge-nf-call-iptables", "0"));
    add(2, sysctl("net.ipv4.ip_forward", "0"));
    add(4, sysctl("net.ipv6.conf.all.disable_ipv6", "1"));
    add(4, sysctl("net.ipv6.conf.default.disable_ipv6", "1"));

    let bridge = |name, index, mac, up| Op::AddBridge {
        dev: dev(name, index),
        mac: MacAddr([2, 0, 0, 0, 0, mac]),
        mtu: 1500,
        up,
    };
    let veth = |end, master, peer_place: usize, peer| Op::AddVeth {
        end,
        master,
        peer_place: Place(peer_place),
        peer_name: PLACES[peer_place].to_owned(),
        peer,
    };
    add(0, bridge("lan", 100, 0x10, false));
    add(0, veth(end("inner-0", 101, 0x21), Some(dev("lan", 100)), 1, end("eth0", 100, 0x11)));
    add(0, Op::DisableLinkLocal { dev: dev("inner-0", 101) });
    add(0, veth(end("eth1", 102, 0x12), None, 2, end("eth0", 100, 0x13)));
    add(4, bridge("br", 100, 0x30, true));
    add(4, veth(end("outer-1", 101, 0x31), Some(dev("br", 100)), 2, end("eth1", 101, 0x14)));
    add(4, veth(end("side-0", 102, 0x32), Some(dev("br", 100)), 3, end("eth0", 100, 0x15)));

    let up = |name, index| Op::SetUp { dev: dev(name, index) };
    let addr =
        |name, index, addr: &str| Op::AddAddress { dev: dev(name, index), addr: addr.parse().unwrap() };
    let route = |destination: &str, via: &str, name, index| Op::AddRoute {
        destination: destination.parse().unwrap(),
        via: Some(via.parse().unwrap()),
        dev: dev(name, index),
    };
    add(1, up("lo", 1));
    add(1, up("eth0", 100));
    add(1, addr("eth0", 100, "192.168.1.11/24"));
    add(1, addr("eth0", 100, "fd00:1::11/64"));
    add(1, route("0.0.0.0/0", "192.168.1.10", "eth0", 100));
    add(1, route("::/0", "fd00:1::10", "eth0", 100));
    add(1, Op::DisableOffload { dev: dev("eth0", 100) });
    add(2, up("lo", 1));
    add(2, up("eth0", 100));
    add(2, up("eth1", 101));
    add(2, addr("eth0", 100, "203.0.113.2/30"));
    add(2, addr("eth0", 100, "fd00:2::2/64"));
    add(2, addr("lo", 1, "8.8.8.8/32"));
    add(2, addr("eth1", 101, "10.0.0.1/24"));
    add(3, up("lo", 1));
    add(3, up("eth0", 100));
    add(3, addr("eth0", 100, "10.0.0.2/24"));
    // The host last: its bridge comes up when its ports have.
    add(0, up("lo", 1));
    add(0, up("lan", 100));
    add(0, up("eth1", 102));
    add(0, addr("lan", 100, "192.168.1.10/24"));
    add(0, addr("lan", 100, "fd00:1::10/64"));
    add(0, addr("eth1", 102, "203.0.113.1/30"));
    add(0, addr("eth1", 102, "fd00:2::1/64"));
    add(0, route("8.8.8.8/32", "203.0.113.2", "eth1", 102));

    let nft = |change| Op::Nft(change);
    add(0, nft(Nft::AddTable));
    for hook in [Hook::Prerouting, Hook::Output, Hook::Postrouting] {
        add(0, nft(Nft::AddNatChain { hook }));
    }
    let rule = |hook, matches, action| Op::Nft(Nft::AddRule { hook, matches, action });
    for hook in [Hook::Prerouting, Hook::Output] {
        for target in ["192.168.1.11", "fd00:1::11"] {
            let matches = vec![Match::ToLocalAddress, Match::DestinationPort(Proto::Tcp, 8080)];
            add(0, rule(hook, matches, Action::Dnat { addr: target.parse().unwrap(), port: 80 }));
        }
    }
    let out = || Match::OutgoingInterface(IfName::new("eth1").unwrap());
    add(
        0,
        rule(
            Hook::Postrouting,
            vec![out(), Match::Source("192.168.1.0/24".parse().unwrap())],
            Action::Masquerade,
        ),
    );
    add(
        0,
        rule(
            Hook::Postrouting,
            vec![out(), Match::Source("fd00:1::/64".parse().unwrap())],
            Action::Masquerade,
        ),
    );
    steps
}

/// Places of [`on_the_machine`].
pub(super) fn places_on_the_machine() -> Vec<String> {
    ["host", "blue", "machine"].map(str::to_owned).to_vec()
}

/// Steps that touch the machine in every way, but that the host is not the machine: `eth1` moves into `blue`, `eth2` becomes
/// a port beside a wire to `blue`, which has a macvlan on `eth3` as well.
pub(super) fn on_the_machine() -> Vec<Step> {
    const MACHINE: usize = 2;
    let mut steps = Vec::new();
    let mut add = |place: usize, op| steps.push(Step { place: Place(place), op });
    let nic = |name, index| dev(name, index);
    add(1, Op::AddNamespace { name: "blue".to_owned() });
    add(1, Op::SetUp { dev: dev("lo", 1) });
    add(MACHINE, Op::SetSysctl { key: "net.ipv4.ip_forward".to_owned(), value: "1".to_owned() });
    add(
        MACHINE,
        Op::TakeNic {
            nic: nic("eth1", 2),
            to: Place(1),
            to_name: "blue".to_owned(),
            dev: dev("eth1", 200),
            force: false,
        },
    );
    add(1, Op::SetUp { dev: dev("eth1", 200) });
    add(1, Op::AddAddress { dev: dev("eth1", 200), addr: "10.1.1.83/24".parse().unwrap() });
    add(
        MACHINE,
        Op::AddBridge { dev: dev("lan", 300), mac: MacAddr([2, 0, 0, 0, 0, 1]), mtu: 1500, up: false },
    );
    add(
        1,
        Op::AddVeth {
            end: end("eth0", 100, 2),
            master: None,
            peer_place: Place(MACHINE),
            peer_name: "machine".to_owned(),
            peer: end("nl1-0", 301, 3),
        },
    );
    add(MACHINE, Op::SetMaster { dev: dev("nl1-0", 301), bridge: dev("lan", 300) });
    add(MACHINE, Op::PlugNic { nic: nic("eth2", 3), bridge: dev("lan", 300), takeover: true, force: false });
    add(
        MACHINE,
        Op::AddMacvlan {
            parent: nic("eth3", 4),
            peer_place: Place(1),
            peer_name: "blue".to_owned(),
            peer: dev("eth2", 102),
            mac: MacAddr([2, 0, 0, 0, 0, 4]),
            mtu: None,
        },
    );
    add(MACHINE, Op::SetUp { dev: dev("lan", 300) });
    for place in [MACHINE, 1] {
        let (family, table, hook) = (Family::V4, Table::Filter, Hook::Forward);
        add(place, Op::Iptables(Iptables::AddChain { family, table, hook }));
    }
    steps
}
