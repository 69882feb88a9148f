//! Interfaces that were taken or plugged are as they were.

use netlab_topology::Plan;
use netlab_topology::plan::Op;

use super::scratch::{Both, eth1, scratch, sh, sysctls, told};
use crate::sys::namespace;

/// What an interface may have, as it is set up.
const CONFIGURATIONS: [(&str, &str); 12] = [
    ("nothing, down", ":"),
    ("up without addresses", "ip link set eth1 up"),
    ("an address", "ip link set eth1 up; ip addr add 10.1.1.5/24 dev eth1"),
    (
        "secondary addresses, labels, scopes, broadcast, metrics",
        "ip link set eth1 up
         ip addr add 10.1.1.5/24 broadcast + dev eth1
         ip addr add 10.1.1.7/24 dev eth1 label eth1:web
         ip addr add 10.1.1.6/24 dev eth1
         ip addr add 10.9.0.1/32 scope link dev eth1
         ip addr add 10.8.0.1 peer 10.8.0.2 dev eth1
         ip addr add 10.7.0.1/16 metric 77 dev eth1
         ip addr add 10.6.0.1/16 noprefixroute dev eth1",
    ),
    (
        "addresses of IPv6, for which duplicates are looked for",
        "echo 1 >/proc/sys/net/ipv6/conf/eth1/accept_dad
         ip link set eth1 up
         ip addr add 2001:db8:1::5/64 dev eth1
         ip addr add 2001:db8:1::6/64 dev eth1 nodad
         ip addr add 2001:db8:2::7/64 dev eth1 noprefixroute
         ip addr add fd00::9 peer fd00::a dev eth1",
    ),
    (
        "lifetimes",
        "ip link set eth1 up
         ip addr add 10.1.1.5/24 dev eth1 valid_lft 5000 preferred_lft 3000
         ip addr add 2001:db8:1::5/64 dev eth1 valid_lft 5000 preferred_lft 3000
         ip addr add 2001:db8:1::6/64 dev eth1 valid_lft 5000 preferred_lft 0",
    ),
    (
        "routes of several tables and kinds",
        "ip link set eth1 up
         ip addr add 10.1.1.5/24 dev eth1
         ip addr add 10.1.1.6/24 dev eth1
         ip addr add 2001:db8:1::5/64 dev eth1 nodad
         ip route add 10.2.0.0/16 via 10.1.1.1 src 10.1.1.6 metric 50 mtu 1300
         ip route add 10.3.0.0/16 via 10.2.0.9 onlink dev eth1
         ip route add 10.4.0.0/16 dev eth1 scope link proto static
         ip route add default via 10.1.1.254 dev eth1 table 100
         ip route add 10.5.0.0/16 table 100 via 10.1.1.2 tos 4
         ip -6 route add 2001:db8:9::/48 via 2001:db8:1::1 metric 5
         ip -6 route add 2001:db8:8::/48 via fe80::1 dev eth1 src 2001:db8:1::5 table 100
         ip -6 route add 2001:db8:7::/48 dev eth1 expires 4000
         ip route add 10.10.0.0/16 nexthop via 10.1.1.1 weight 3 nexthop via 10.1.1.2",
    ),
    (
        "a link unlike others",
        "ip link set eth1 address 02:aa:bb:cc:dd:ee mtu 1400 txqueuelen 77 alias 'the wire' multicast off allmulticast on
         ip link property add dev eth1 altname wire-of-many-letters altname enp7
         ip link set eth1 up promisc on
         ip addr add 10.1.1.5/24 dev eth1",
    ),
    ("no link-local address", "ip link set eth1 addrgenmode none; ip link set eth1 up; ip addr add 2001:db8:1::5/64 dev eth1"),
    (
        "sysctls",
        "ip link set eth1 up
         ip addr add 10.1.1.5/24 dev eth1
         cd /proc/sys/net
         echo 2 >ipv4/conf/eth1/rp_filter; echo 1 >ipv4/conf/eth1/arp_ignore; echo 1 >ipv4/conf/eth1/proxy_arp
         echo 0 >ipv6/conf/eth1/accept_ra; echo 3 >ipv6/conf/eth1/dad_transmits; echo 1500 >ipv4/neigh/eth1/retrans_time_ms
         echo 1 >ipv4/conf/eth1/forwarding",
    ),
    ("no IPv6", "echo 1 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6; ip link set eth1 up; ip addr add 10.1.1.5/24 dev eth1"),
    (
        "neighbours that somebody set, and a connected route that somebody removed",
        "ip link set eth1 up
         ip addr add 10.1.1.5/24 dev eth1
         ip addr add 10.2.2.5/24 dev eth1
         ip route del 10.2.2.0/24 dev eth1
         ip neigh add 10.1.1.9 lladdr 02:00:00:00:00:09 dev eth1 nud permanent
         ip neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev eth1 nud permanent",
    ),
];

/// Sets an interface up each way, has something done to it, and compares.
fn each_way(what: fn(&mut Both)) {
    let mut wrong = Vec::new();
    for (name, script) in CONFIGURATIONS {
        eth1();
        sh(script);
        let before = (told(), sysctls("eth1"));
        let mut both = Both::begin();
        what(&mut both);
        assert_ne!(told(), before.0, "{name}: nothing was changed");
        let left = both.end();
        let after = (told(), sysctls("eth1"));
        for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
            let differ = |one: &str, other: &str, mark: &str| -> Vec<String> {
                let other: Vec<_> = other.lines().collect();
                one.lines()
                    .filter(|line| !other.contains(line))
                    .map(|line| format!("{mark} {line}"))
                    .collect()
            };
            let changes = [differ(before, after, "-"), differ(after, before, "+")].concat();
            if before != after {
                wrong.push(format!("{name}:\n{}\nin order:\n{before}\n{after}", changes.join("\n")));
            }
        }
        wrong.extend(left.iter().map(|left| format!("{name}: {left}")));
        sh("ip link del eth1; ip netns del far");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(!std::path::Path::new("/run/netlab").exists());
    assert!(!sh("cat /proc/self/mountinfo").contains("/run/netlab"));
}

#[test]
fn a_taken_one_returns_as_it_was() {
    scratch("machine::tests::nics::a_taken_one_returns_as_it_was", || {
        each_way(|both| {
            let plan = both.bind("node blue nic(eth1 force)=10.1.1.83/24").unwrap();
            let there = both.take(&plan);
            // It is used, and mistreated.
            in_namespace(&there, "ip link set eth1 mtu 1280 address 02:00:00:00:00:77 txqueuelen 5 alias other name eth7
                                  ip link set eth7 up promisc off; ip addr add 10.1.1.83/24 dev eth7; ip route add default via 10.1.1.1
                                  echo 0 >/proc/sys/net/ipv6/conf/eth7/accept_ra");
        });
    });
}

#[test]
fn a_plugged_one_is_unplugged_as_it_was() {
    scratch("machine::tests::nics::a_plugged_one_is_unplugged_as_it_was", || {
        each_way(|both| {
            let plan =
                both.bind("node host real lan=.51; net lan 10.1.1.0/24 port=eth1 force; node blue lan=.100");
            plug(both, &plan.unwrap());
        });
    });
}

#[test]
fn one_that_was_taken_over_is_given_back_as_it_was() {
    scratch("machine::tests::nics::one_that_was_taken_over_is_given_back_as_it_was", || {
        each_way(|both| {
            let plan = both
                .bind("node host real lan; net lan 10.1.1.0/24 port=eth1 takeover force; node blue lan=.100");
            plug(both, &plan.unwrap());
        });
    });
}

/// Makes the bridge of a plan, and has `eth1` be a port of it.
pub(super) fn plug(both: &mut Both, plan: &Plan) {
    for step in plan.steps() {
        match &step.op {
            Op::AddBridge { dev, mac, .. } => {
                both.record(&[step]);
                sh(&format!(
                    "ip link add {dev} index {} address {mac} type bridge forward_delay 0 mcast_snooping 0",
                    dev.index
                ));
            }
            Op::PlugNic { nic, bridge, takeover, .. } => {
                both.record(&[step]);
                both.machine.plug_nic(nic, bridge, *takeover).unwrap();
            }
            _ => {}
        }
    }
}

fn in_namespace(net: &std::os::fd::OwnedFd, script: &str) {
    use std::os::fd::AsFd;
    namespace::on_thread("there", || {
        namespace::enter_net(net.as_fd()).unwrap();
        sh(script);
    })
    .unwrap();
}
