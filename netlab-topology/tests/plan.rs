//! The plans of typical topologies, as the commands they amount to.

use std::fmt::Write;

use netlab_topology::Topology;
use netlab_topology::plan::{Op, Plan};

const TWO_SERVERS: &str = "
    net br1 192.168.1.0/24
    net wan 203.0.113.0/24
    router host br1=.10 wan=.1 nat(wan from=br1)
    node ns1 br1=.11
    node ns2 br1=.12
    node internet wan=.2 addr=8.8.8.8/32
";

const RED_GREEN_BLUE: &str = "
    net linux-bridge 192.168.24.0/24
    net wan 203.0.113.0/24
    router host linux-bridge=.1 wan=.1 nat(wan from=linux-bridge) dnat(8080/tcp -> red:80)
    node red linux-bridge=.10
    node green linux-bridge=.11
    node blue
    node outside wan=.2
";

fn plan(text: &str) -> Plan {
    Topology::parse(text, "topology of `test`").and_then(|topology| topology.plan()).expect("a good topology")
}

/// All steps, the namespace at the left; the sysctls that every node has are left out if so wished.
fn steps(plan: &Plan, common_sysctls: bool) -> String {
    let mut text = String::new();
    for step in plan.steps() {
        let common = matches!(&step.op, Op::SetSysctl { key, .. }
            if ["ip_forward", "forwarding", "rp_filter", "disable_ipv6", "accept_dad", "accept_ra"]
                .iter()
                .any(|end| key.ends_with(end)) || key.starts_with("net.bridge."));
        if common_sysctls || !common {
            writeln!(text, "{:8} {}", plan.place_name(step.place), step.op).expect("a string takes all");
        }
    }
    text
}

fn hosts(plan: &Plan) -> String {
    plan.hosts().iter().map(|entry| format!("{entry}\n")).collect()
}

#[test]
fn two_servers() {
    let plan = plan(TWO_SERVERS);
    insta::assert_snapshot!("two_servers", steps(&plan, true));
    insta::assert_snapshot!("two_servers_hosts", hosts(&plan));
}

#[test]
fn red_green_blue() {
    insta::assert_snapshot!("red_green_blue", steps(&plan(RED_GREEN_BLUE), false));
}

#[test]
fn dual_stack() {
    let plan = plan(
        "net lan 192.168.1.0/24 2001:db8:1::/64
         net wan 203.0.113.0/24 2001:db8:2::/64
         net six
         router gw lan=.1,::1 wan=.1,::1 six=::1 dnat(53/udp -> ns) nat(wan)
         node ns lan=.53,::35
         node client lan
         node far wan=::9 addr=2001:db8:ffff::1
         node only6 six=::b",
    );
    insta::assert_snapshot!("dual_stack", steps(&plan, false));
    insta::assert_snapshot!("dual_stack_hosts", hosts(&plan));
}

#[test]
fn links() {
    let plan = plan(
        "node a via=b
         link a b 10.0.0.0/31
         router b route(10.2.0.0/16 via=c) via=none
         router c
         link b c mtu=9000 offload=off
         link a b 2001:db8::/127
         net lan
         node host lan
         link host a",
    );
    insta::assert_snapshot!("links", steps(&plan, false));
    let names: Vec<&str> = plan.links().iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["a-b", "b-c", "a-b-2", "host-a"]);
}

#[test]
fn arrays() {
    let plan = plan(
        "net front 10.0.0.0/24
         net back
         router lb[2] front=.1 back
         node web[3] back=.11(dev=data0 mtu=1400 mac=02:00:00:00:00:ff offload=off) via=lb1
         node client front via=10.0.0.2",
    );
    insta::assert_snapshot!("arrays", steps(&plan, false));
    let array = plan.array("web").expect("an array");
    let members: Vec<&str> = array.members.iter().map(|i| plan.nodes()[*i].name.as_str()).collect();
    assert_eq!(members, ["web1", "web2", "web3"]);
}

#[test]
fn user_sysctls_come_after_ours_and_those_of_interfaces_after_interfaces() {
    let plan = plan(
        "net lan
         node a lan sysctl(net.ipv4.ip_forward=1) sysctl(net.ipv4.conf.eth0.arp_ignore=1) \
         sysctl(net.ipv4.tcp_rmem=4096 87380 6291456)",
    );
    let text = steps(&plan, true);
    let at = |what: &str| text.rfind(what).unwrap_or_else(|| panic!("no `{what}` in\n{text}"));
    assert!(at("net.ipv4.ip_forward=1") > at("a        sysctl -w net.ipv4.ip_forward=0"));
    assert!(at("net.ipv4.conf.eth0.arp_ignore=1") > at("peer eth0"));
    assert!(at("net.ipv4.tcp_rmem=\"4096 87380 6291456\"") < at("peer eth0"));
}

#[test]
fn long_names_become_short_devices() {
    let plan = plan(
        "net a-net-with-a-long-name
         node a-node-with-a-long-name a-net-with-a-long-name
         node a-node-with-another-long-name a-net-with-a-long-name",
    );
    let net = &plan.nets()[0];
    let ports: Vec<&str> = net.ports.iter().map(|port| port.dev.name.as_str()).collect();
    assert_eq!(net.bridge.name.as_str(), "a-net-with-a-~1");
    assert_eq!(ports, ["a-node-with~1-0", "a-node-with~2-0"]);
}

#[test]
fn what_is_chosen_gives_way_to_what_is_written() {
    let plain = plan("net a-0; node host a-0; node a a-0");
    let port = &plain.nets()[0].ports[0].dev;
    assert_eq!((plain.nets()[0].bridge.name.as_str(), port.name.as_str()), ("a-0", "a~1-0"));

    let chosen = plain.nodes()[1].interfaces[0].mac;
    let given = plan(&format!("net a-0; node host a-0; node a a-0; node b a-0(mac={chosen})"));
    assert_eq!(given.nodes()[2].interfaces[0].mac, chosen);
    assert_ne!(given.nodes()[1].interfaces[0].mac, chosen);
}

#[test]
fn a_port_passed_on_from_one_net_is_not_passed_on_from_the_node_itself() {
    let rules = steps(&plan("net a; net b; router r a b dnat(80/tcp -> x from=a); node x b"), false);
    assert!(
        rules.contains("prerouting iifname eth0 fib daddr type local tcp dport 80 dnat ip to"),
        "{rules}"
    );
    assert!(!rules.contains("output"), "{rules}");
}

#[test]
fn subnets_are_chosen_around_those_written() {
    let plan = plan(
        "net a
         net b 198.51.100.0/25
         net c
         net d
         net e
         node x[300] d
         link host x1",
    );
    let subnets: Vec<String> = plan.nets().iter().map(|net| net.subnets[0].to_string()).collect();
    assert_eq!(
        subnets,
        ["192.0.2.0/24", "198.51.100.0/25", "203.0.113.0/24", "198.18.0.0/23", "198.18.2.0/24"]
    );
    assert_eq!(plan.links()[0].subnets[0].to_string(), "198.51.100.128/30");
}

#[test]
fn a_router_that_masquerades_out_of_a_net_is_no_router_there() {
    let routes = |text: &str| {
        let plan = plan(text);
        let routes = plan.steps().iter().filter(|step| matches!(step.op, Op::AddRoute { .. }));
        routes.map(|step| format!("{} {}", plan.place_name(step.place), step.op)).collect::<Vec<_>>()
    };
    let homes = "net wan 203.0.113.0/24
        net home1 192.168.1.0/24
        net home2 192.168.2.0/24
        router gw1 home1 wan nat(wan)
        router gw2 home2 wan nat(wan)
        node a home1
        node b home2
        node outside wan";
    assert_eq!(
        routes(homes),
        [
            "a ip route add default via 192.168.1.1 dev eth0",
            "b ip route add default via 192.168.2.1 dev eth0"
        ]
    );
}

#[test]
fn extra_addresses_are_known_to_neighbours_but_not_anycast_ones() {
    let routes = |text: &str| {
        let plan = plan(text);
        let routes = plan.steps().iter().filter(|step| matches!(step.op, Op::AddRoute { .. }));
        routes.map(|step| format!("{} {}", plan.place_name(step.place), step.op)).collect::<Vec<_>>()
    };
    let one = routes("net lan 10.0.0.0/24\n node a lan addr=8.8.8.8\n node b lan\n node c lan via=none");
    assert_eq!(one, ["b ip route add 8.8.8.8/32 via 10.0.0.1 dev eth0"]);
    let two = routes("net lan\n node a[2] lan addr=8.8.8.8\n node b lan");
    assert_eq!(two, [""; 0]);
    let inside = routes("net lan 10.0.0.0/24\n node a lan addr=10.0.0.100\n node b lan");
    assert_eq!(inside, [""; 0]);
}

#[test]
fn the_host_exists_without_being_mentioned() {
    let plan = plan("");
    assert_eq!(plan.places(), ["host"]);
    assert_eq!(plan.nodes()[0].name, "host");
    assert_eq!(plan.node("host"), Some(0));
}

#[test]
fn a_star_of_a_thousand_nodes_is_planned_in_a_blink() {
    let started = std::time::Instant::now();
    let plan = plan("net s 10.0.0.0/16\n router gw s\n node n[1000] s");
    assert_eq!(plan.nets()[0].ports.len(), 1001);
    // Two hundred times what it takes optimized; it fails when something becomes quadratic.
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}
