//! Topologies built in code.

use std::net::{IpAddr, Ipv4Addr};

use netlab_topology::{MacAddr, Topology};

#[test]
fn everything_that_can_be_written_can_be_built() {
    let built = Topology::build()
        .net("lan", |net| {
            net.cidr("192.168.1.0/24").cidr("2001:db8:1::/64").mtu(9000).mac("02:00:00:00:00:01")
        })
        .net("wan", |net| net.offload(false))
        .router("gw", |gw| {
            gw.at("lan", ".1")
                .attach("wan", |at| {
                    at.addr(".1").dev("up0").mtu(1400).mac(MacAddr([2, 0, 0, 0, 0, 2])).offload(true)
                })
                .nat("wan")
                .dnat("8080/tcp", "web1:80")
                .dnat_from("53/udp", "[2001:db8:1::9]", "wan")
                .route("10.0.0.0/8", IpAddr::V4(Ipv4Addr::new(192, 168, 1, 9)))
                .route_on("10.9.0.0/16", "lan")
                .addr("10.1.1.1")
                .via("none")
                .sysctl("net.ipv4.tcp_rmem", "1 2 3")
                .firewall("nft")
        })
        .nodes("web", 2, |web| web.at("lan", ".11").via("gw"))
        .node("far", |far| far.on("wan").forward().nat_from("wan", "10.0.0.0/8"))
        .routers("r", 2, |r| r.via("192.0.2.1"))
        .net("shared", |net| net.dev("eth0"))
        .net("plugged", |net| net.cidr("10.3.0.0/24").port("eth 1").takeover().force())
        .node("host", |host| host.real().on("plugged").firewall("iptables"))
        .node("blue", |blue| {
            blue.nic("eth2")
                .nic_at("eth3", "10.4.0.1/24")
                .nic_with("eth4", |nic| nic.force().addr("10.5.0.1/24").addr("2001:db8:5::1/64"))
        })
        .link("far", "r1", |link| link.cidr("10.2.0.0/30").mtu(1300).offload(false))
        .finish()
        .expect("good grammar");
    let written = "
        net lan 192.168.1.0/24 2001:db8:1::/64 mtu=9000 mac=02:00:00:00:00:01
        net wan offload=off
        router gw lan=.1 wan=.1(dev=up0 mtu=1400 mac=02:00:00:00:00:02 offload=on) \
            nat(wan) dnat(8080/tcp -> web1:80) dnat(53/udp -> [2001:db8:1::9] from=wan) \
            route(10.0.0.0/8 via=192.168.1.9) route(10.9.0.0/16 dev=lan) addr=10.1.1.1/32 via=none \
            sysctl(net.ipv4.tcp_rmem=1 2 3) firewall=nft
        node web[2] lan=.11 via=gw
        node far wan forward nat(wan from=10.0.0.0/8)
        router r[2] via=192.0.2.1
        net shared dev=eth0
        net plugged 10.3.0.0/24 port='eth 1' takeover force
        node host real plugged firewall=iptables
        node blue nic(eth2) nic(eth3)=10.4.0.1/24 nic(eth4 force)=10.5.0.1/24,2001:db8:5::1/64
        link far r1 10.2.0.0/30 mtu=1300 offload=off";
    assert_eq!(built, Topology::parse(written, "test").expect("good grammar"));
}

#[test]
fn errors_of_a_built_topology_point_into_its_text() {
    let built = Topology::build()
        .net("lan", |net| net.cidr("192.168.1.0"))
        .node("a b", |node| node.at("lam", ".300").via("gw; node c"))
        .origin("the topology of `built`");
    insta::assert_snapshot!(built.finish().expect_err("values that are wrong"));
}

#[test]
fn nothing_given_becomes_a_statement_of_its_own() {
    let built =
        Topology::build().node("a\nnode b", |node| node.on("lan; net lan").sysctl("net.x=1)\nnode c (", ")"));
    assert_eq!(built.finish().expect("good grammar").statements().len(), 1);
}
