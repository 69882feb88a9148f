//! The plans of typical topologies, as the commands they amount to.

use std::fmt::Write;

use netlab_topology::IfName;
use netlab_topology::Topology;
use netlab_topology::plan::{Dev, DevRole, Op, Place, Plan, PlannedNet};

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

fn bridge(net: &PlannedNet) -> &str {
    net.bridge.as_ref().expect("a bridge").name.as_str()
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

/// The same with the machine's own network as the host.
fn with_the_machine(text: &str) -> Plan {
    plan(&text.replace("router host", "router host real"))
}

#[test]
fn two_servers_on_the_machine() {
    let plan = with_the_machine(TWO_SERVERS);
    assert_eq!(plan.machine(), Some(Place::HOST));
    assert!(plan.nics().is_empty());
    insta::assert_snapshot!("two_servers_on_the_machine", steps(&plan, true));
}

#[test]
fn red_green_blue_on_the_machine() {
    insta::assert_snapshot!("red_green_blue_on_the_machine", steps(&with_the_machine(RED_GREEN_BLUE), false));
}

const NIC_IN_A_NODE: &str = "node blue nic(eth1)=10.1.1.83/24 via=10.1.1.1";

#[test]
fn an_interface_of_the_machine_in_a_node() {
    let plan = plan(NIC_IN_A_NODE);
    assert_eq!(plan.places(), ["host", "blue", "machine"]);
    assert_eq!(plan.machine(), Some(Place(2)));
    insta::assert_snapshot!("nic", steps(&plan, true));
}

const SHARED_BY_A_BRIDGE: &str = "
    net br1 10.1.1.0/24 port=eth1
    node host real br1=.51
    node blue br1=.100 via=10.1.1.51
";

#[test]
fn an_interface_of_the_machine_shared_by_a_bridge() {
    insta::assert_snapshot!("port", steps(&plan(SHARED_BY_A_BRIDGE), true));
    let takeover = SHARED_BY_A_BRIDGE.replace("eth1", "eth1 takeover").replace("br1=.51", "br1");
    insta::assert_snapshot!("port_takeover", steps(&plan(&takeover), true));
}

#[test]
fn a_bridge_elsewhere_gets_the_interface_into_its_namespace() {
    let switch = plan("net br1 10.1.1.0/24 port=eth1 \n node a br1=.2");
    assert_eq!(switch.places(), ["host", "a", "switch", "machine"]);
    insta::assert_snapshot!("port_of_a_switch", steps(&switch, false));
    insta::assert_snapshot!(
        "port_of_a_private_host",
        steps(&plan("net br1 10.1.1.0/24 port=eth1 force \n node host br1=.1 \n node a br1=.2"), false)
    );
}

#[test]
fn nodes_on_what_an_interface_of_the_machine_is_on() {
    let plan = plan(
        "net lan 10.7.0.0/24 2001:db8:7::/64
         net ext 192.168.7.0/24 dev=eth0
         router host real lan ext nat(ext) dnat(8080/tcp -> web1:80 from=ext)
         node web[2] lan
         node probe ext=.200(mtu=1400) via=192.168.7.1
         node dhcp any
         net any dev=eth1
         link host probe",
    );
    insta::assert_snapshot!("dev", steps(&plan, true));
    assert_eq!(plan.nets()[1].bridge, None);
    let names: Vec<&str> = plan.nodes()[0].interfaces.iter().map(|i| i.dev.name.as_str()).collect();
    assert_eq!(names, ["lan", "eth0", "host-probe"]);
}

#[test]
fn a_router_by_an_interface_of_the_machine_with_iptables() {
    let plan = plan(
        "net lan 10.7.0.0/24 2001:db8:7::/64
         router gw lan nic(eth1)=192.168.7.2/24 nat(eth1) dnat(8080/tcp -> web:80) via=192.168.7.1 firewall=iptables
         node web lan",
    );
    insta::assert_snapshot!("iptables", steps(&plan, false));
}

#[test]
fn the_machines_firewall_is_not_opened_to_others() {
    let plan = plan(
        "net seg 10.1.1.0/24 port=eth1
         net ext 192.168.7.0/24 dev=eth0
         router host real seg=.1 ext nat(ext)
         node a seg=.2
         node b ext=.200 via=192.168.7.1",
    );
    let rules: Vec<String> = plan.steps().iter().map(|step| step.op.to_string()).collect();
    let rules: Vec<&str> =
        rules.iter().filter_map(|op| op.split_once("-A NETLAB-")).map(|(_, r)| r).collect();
    assert_eq!(
        rules,
        [
            "INPUT -i seg -s 10.1.1.2/32 -j ACCEPT",
            "FORWARD -i seg -s 10.1.1.2/32 -j ACCEPT",
            "FORWARD -o seg -d 10.1.1.2 -j ACCEPT",
            "POSTROUTING -o eth0 -s 10.1.1.2/32 -j MASQUERADE",
        ]
    );
}

#[test]
fn chosen_names_of_interfaces_step_aside_for_given_ones() {
    let names = |text: &str| -> Vec<String> {
        plan(text).nodes()[1].interfaces.iter().map(|i| i.dev.name.to_string()).collect()
    };
    assert_eq!(
        names("net a; net b; net c; node x a b(dev=eth2) c nic(eth0)"),
        ["eth1", "eth2", "eth3", "eth0"]
    );
    assert_eq!(names("net a; net b; node x a b(dev=eth0)"), ["eth1", "eth0"]);
}

#[test]
fn subnets_are_chosen_around_those_of_interfaces_of_the_machine() {
    let plan = plan("net lan; node b lan; node a nic(eth1)=192.0.2.7/25,192.0.2.8/24");
    assert_eq!(plan.nets()[0].subnets[0].to_string(), "198.51.100.0/24");
}

#[test]
fn the_machine_gets_a_default_route_only_where_one_is_written() {
    let routes = |text: &str| {
        let plan = plan(text);
        let routes = plan.steps().iter().filter(|step| matches!(step.op, Op::AddRoute { .. }));
        routes.map(|step| format!("{} {}", plan.place_name(step.place), step.op)).collect::<Vec<_>>()
    };
    let lab = "net lan 10.0.0.0/24\n router gw lan=.1\n node host real lan=.2";
    assert_eq!(routes(lab), [""; 0]);
    assert_eq!(routes(&format!("{lab} via=gw")), ["host ip route add default via 10.0.0.1 dev lan"]);
    let shared = "net ext 10.1.1.0/24 dev=eth0\n node host real ext route(10.9.0.0/16 via=10.1.1.9)";
    assert_eq!(routes(shared), ["host ip route add 10.9.0.0/16 via 10.1.1.9 dev eth0"]);
}

#[test]
fn other_devices_stand_wherever_the_old_ones_did() {
    let plan = plan(
        "net lan 10.7.0.0/24
         net wan port=eth1
         router host real lan wan nat(wan) sysctl(net.ipv4.conf.host-web.arp_ignore=1) sysctl(net.ipv4.conf.eth7.arp_ignore=1)
         node web lan wan(offload=off)
         link host web",
    );
    let mut roles = Vec::new();
    let renamed = plan.with_devs(Place::HOST, &mut |dev, role| {
        roles.push(format!("{dev} {role:?}"));
        let name = if role == DevRole::OfTheMachine { dev.name.to_string() } else { format!("x.{dev}") };
        Dev { name: IfName::new(name).expect("a good name"), index: dev.index + 5000 }
    });
    assert_eq!(
        roles,
        ["lan Bridge", "web-0 Port", "wan Bridge", "web-1 Port", "eth1 OfTheMachine", "host-web LinkEnd"]
    );
    insta::assert_snapshot!("renamed", steps(&renamed, true));
    assert_eq!(renamed.nets()[0].ports[0].dev.name.as_str(), "x.web-0");
    assert_eq!(renamed.nodes()[0].interfaces[2].dev.name.as_str(), "x.host-web");
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
    assert_eq!(bridge(net), "a-net-with-a-~1");
    assert_eq!(ports, ["a-node-with~1-0", "a-node-with~2-0"]);
}

#[test]
fn what_is_chosen_gives_way_to_what_is_written() {
    let plain = plan("net a-0; node host a-0; node a a-0");
    let port = &plain.nets()[0].ports[0].dev;
    assert_eq!((bridge(&plain.nets()[0]), port.name.as_str()), ("a-0", "a~1-0"));

    let chosen = plain.nodes()[1].interfaces[0].mac.expect("a MAC address of ours");
    let given = plan(&format!("net a-0; node host a-0; node a a-0; node b a-0(mac={chosen})"));
    assert_eq!(given.nodes()[2].interfaces[0].mac, Some(chosen));
    assert_ne!(given.nodes()[1].interfaces[0].mac, Some(chosen));
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
