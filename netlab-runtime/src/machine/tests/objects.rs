//! Each kind of change is undone, and left where somebody else changed it since.

use netlab_topology::plan::{Op, Step};

use super::super::undo::{Undo, Why};
use super::super::{ground::Ground, nic, restore};
use super::scratch::{Both, eth1, scratch, sh, told};

/// The index of an interface.
fn index_of(name: &str) -> u32 {
    sh(&format!("ip -o link show {name} | cut -d: -f1")).trim().parse().unwrap()
}

#[track_caller]
fn undone(undo: &Undo) {
    // Twice: what is undone already is no error.
    for _ in 0..2 {
        undo.carry_out(&mut Ground::here().unwrap()).unwrap();
    }
}

#[track_caller]
fn left(undo: &Undo) -> String {
    let before = told();
    let why = match undo.carry_out(&mut Ground::here().unwrap()) {
        Err(Why::Changed(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(), before, "it was to be left");
    why
}

#[test]
fn links() {
    scratch("machine::tests::objects::links", || {
        let before = told();
        let undo =
            Undo::Link { index: 77, name: "br7".to_owned(), macs: vec!["02:00:00:00:00:07".to_owned()] };
        undone(&undo);
        let add = "ip link add br7 index 77 address 02:00:00:00:00:07 type bridge";
        sh(add);
        undone(&undo);
        assert_eq!(told(), before);
        sh(&format!("{add}; ip link set br7 name mine"));
        assert!(left(&undo).contains("`mine`"));
        sh("ip link set mine name br7 address 02:00:00:00:00:08");
        assert!(left(&undo).contains("02:00:00:00:00:08"));
        // Another altogether, which has the index: ours is gone.
        sh("ip link set br7 name other");
        undone(&undo);
        sh("ip link show other");
    });
}

#[test]
fn sysctls() {
    scratch("machine::tests::objects::sysctls", || {
        let key = "net.ipv4.ip_default_ttl";
        let undo = Undo::Sysctl { key: key.to_owned(), was: "64".to_owned(), set: "65".to_owned() };
        sh("sysctl -qw net.ipv4.ip_default_ttl=65");
        undone(&undo);
        assert_eq!(sh("sysctl -n net.ipv4.ip_default_ttl"), "64\n");
        sh("sysctl -qw net.ipv4.ip_default_ttl=66");
        assert!(left(&undo).contains("`66` now"));
        assert_eq!(sh("sysctl -n net.ipv4.ip_default_ttl"), "66\n");
        undone(&Undo::Sysctl {
            key: "net.ipv4.conf.gone.rp_filter".to_owned(),
            was: "0".to_owned(),
            set: "1".to_owned(),
        });
    });
}

/// All of `forwarding`, `accept_redirects` and `accept_ra`.
fn forwarding() -> String {
    sh(
        "cd /proc/sys/net; grep . ipv4/ip_forward ipv?/conf/*/forwarding ipv?/conf/*/accept_redirects ipv?/conf/*/accept_ra 2>&1 || :",
    )
}

fn setting(key: &str) -> Step {
    let op = Op::SetSysctl { key: key.to_owned(), value: "1".to_owned() };
    Step { place: netlab_topology::plan::Place::HOST, op }
}

#[test]
fn forwarding_as_each_interface_had_it() {
    scratch("machine::tests::objects::forwarding_as_each_interface_had_it", || {
        eth1();
        sh("ip link add eth2 type bridge; ip link add eth3 type bridge; ip link add eth4 type bridge
            cd /proc/sys/net; echo 1 >ipv4/conf/eth2/forwarding; echo 1 >ipv6/conf/eth2/forwarding; echo 0 >ipv6/conf/eth3/accept_ra");
        let before = forwarding();
        for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            let mut both = Both::begin();
            both.bind("node host real").unwrap();
            both.record(&[&setting(key)]);
            if key.contains("ipv6") {
                // By now, since it is of no use later.
                assert_eq!(
                    sh("cat /proc/sys/net/ipv6/conf/eth1/accept_ra /proc/sys/net/ipv6/conf/eth3/accept_ra"),
                    "2\n0\n"
                );
            }
            sh(&format!("sysctl -qw {key}=1"));
            assert_ne!(forwarding(), before);
            assert_eq!(both.end(), []);
            assert_eq!(forwarding(), before, "{key}");
        }
        // What somebody else changed of it meanwhile is that one's.
        let mut both = Both::begin();
        both.bind("node host real").unwrap();
        both.record(&[&setting("net.ipv4.ip_forward")]);
        sh("sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv4.conf.eth2.forwarding=0");
        assert_eq!(both.end(), []);
        assert_eq!(sh("cat /proc/sys/net/ipv4/conf/eth2/forwarding /proc/sys/net/ipv4/ip_forward"), "0\n0\n");
    });
}

#[test]
fn what_forwards_already_is_nobodys_to_turn_off() {
    scratch("machine::tests::objects::what_forwards_already_is_nobodys_to_turn_off", || {
        sh("sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv6.conf.all.forwarding=1");
        let before = forwarding();
        let mut both = Both::begin();
        both.bind("node host real").unwrap();
        both.record(&[&setting("net.ipv4.ip_forward"), &setting("net.ipv6.conf.all.forwarding")]);
        assert_eq!(both.end(), []);
        assert_eq!(forwarding(), before);
    });
}

#[test]
fn addresses_and_routes_of_the_machines_own() {
    scratch("machine::tests::objects::addresses_and_routes_of_the_machines_own", || {
        eth1();
        sh(
            "ip link set eth1 up; ip addr add 10.1.1.5/24 dev eth1; ip addr add 2001:db8::5/64 dev eth1 nodad",
        );
        let before = told();
        let index = index_of("eth1");
        let name = || "eth1".to_owned();
        let net = |text: &str| text.parse().unwrap();
        let address = |text| Undo::Address { index, name: name(), address: net(text) };
        let route = |to, via: &str| Undo::Route {
            index,
            name: name(),
            destination: net(to),
            via: Some(via.parse().unwrap()),
        };
        for (add, undo) in [
            ("ip addr add 10.1.1.6/24 dev eth1", address("10.1.1.6/24")),
            ("ip addr add 2001:db8::6/64 dev eth1 nodad", address("2001:db8::6/64")),
            ("ip route add 10.2.0.0/16 via 10.1.1.1", route("10.2.0.0/16", "10.1.1.1")),
            ("ip route add default via 10.1.1.1", route("0.0.0.0/0", "10.1.1.1")),
            ("ip route add 2001:db8:2::/48 via 2001:db8::1", route("2001:db8:2::/48", "2001:db8::1")),
        ] {
            sh(add);
            assert_ne!(told(), before, "{add}");
            undone(&undo);
            assert_eq!(told(), before, "{add}");
        }
        sh("ip addr add 10.1.1.6/25 dev eth1; ip route add 10.2.0.0/16 via 10.1.1.9");
        assert!(left(&address("10.1.1.6/24")).contains("25 bits"));
        assert!(left(&route("10.2.0.0/16", "10.1.1.1")).contains("10.1.1.9"));
        sh("ip link set eth1 name eth5");
        assert!(left(&address("10.1.1.6/25")).contains("`eth5`"));
    });
}

#[test]
fn set_up() {
    scratch("machine::tests::objects::set_up", || {
        sh("ip link add eth1 index 7 type bridge");
        let before = told();
        let undo = Undo::Up { index: 7, name: "eth1".to_owned() };
        sh("ip link set eth1 up");
        undone(&undo);
        assert_eq!(told(), before);
    });
}

#[test]
fn an_interface_that_somebody_else_moved_on() {
    scratch("machine::tests::objects::an_interface_that_somebody_else_moved_on", || {
        eth1();
        // Into another bridge.
        sh("ip link add theirs type bridge");
        let mut both = Both::begin();
        let plan =
            both.bind("node host real lan=.51; net lan 10.1.1.0/24 port=eth1; node blue lan=.100").unwrap();
        super::nics::plug(&mut both, &plan);
        sh("ip link set eth1 master theirs");
        let left = both.end();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(
            left[0].to_string().contains("left, since somebody else changed it: `eth1` is a port of another"),
            "{}",
            left[0]
        );
        assert!(sh("ip link show eth1").contains("master theirs"));
        sh("ip link set eth1 nomaster");
        // Nowhere: deleted.
        let mut both = Both::begin();
        let plan = both.bind("node blue nic(eth1)=10.1.1.83/24").unwrap();
        drop(both.take(&plan));
        sh("ip -n far link del far");
        let left = both.end();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].why.contains("neither where it was moved to nor on the machine"), "{}", left[0]);
        assert!(!std::path::Path::new("/run/netlab").exists());
    });
}

#[test]
fn a_name_that_was_taken_is_worth_another_try() {
    scratch("machine::tests::objects::a_name_that_was_taken_is_worth_another_try", || {
        eth1();
        sh("ip link set eth1 up; ip addr add 10.1.1.5/24 dev eth1");
        let index = index_of("eth1");
        let mut both = Both::begin();
        let plan = both.bind("node blue nic(eth1)=10.1.1.83/24").unwrap();
        drop(both.take(&plan));
        sh("ip link add eth1 type bridge");
        let left = both.end();
        assert!(
            left.iter().all(|left| left.again) && left[0].why.contains("another interface is called `eth1`"),
            "{left:?}"
        );
        // It is kept, and so is the way to it.
        let journal = super::super::state::journals().remove(0);
        sh("ip link del eth1");
        let mut file = super::super::state::open(&journal).unwrap();
        assert_eq!(super::super::undo::all(&mut file, &mut Ground::here().unwrap()), []);
        super::super::session::remove(&journal).unwrap();
        assert_eq!(index_of("eth1"), index);
        assert!(sh("ip addr show eth1").contains("10.1.1.5/24"));
    });
}

#[test]
fn macvlans() {
    scratch("machine::tests::objects::macvlans", || {
        eth1();
        sh(
            "ip link set eth1 up; ip netns add blue; ip link add link eth1 name v0 index 9 netns blue type macvlan mode bridge",
        );
        let undo = Undo::Macvlan { pin: "/run/netns/blue".into(), index: 9, name: "v0".to_owned() };
        undone(&undo);
        assert!(!sh("ip -n blue link").contains("v0"));
        undone(&Undo::Macvlan { pin: "/run/netns/none".into(), index: 9, name: "v0".to_owned() });
    });
}

#[test]
fn a_restored_interface_is_restored_again_without_harm() {
    scratch("machine::tests::objects::a_restored_interface_is_restored_again_without_harm", || {
        eth1();
        sh("ip link set eth1 up; ip addr add 10.1.1.5/24 dev eth1; ip route add 10.2.0.0/16 via 10.1.1.1");
        let mut ground = Ground::here().unwrap();
        let index = index_of("eth1");
        let was = nic::Nic::look(&mut ground.socket, index).unwrap().unwrap();
        for _ in 0..2 {
            sh("ip addr flush dev eth1; ip link set eth1 down");
            assert_eq!(restore::restore(&mut ground.socket, index, &was), Vec::<String>::new());
            assert!(sh("ip route").contains("10.2.0.0/16 via 10.1.1.1"));
        }
    });
}
