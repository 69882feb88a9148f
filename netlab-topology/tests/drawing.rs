//! Drawings of typical topologies.

use netlab_topology::{DRAWING_WIDTH, Topology};

fn draw(text: &str, width: usize) -> String {
    let plan = Topology::parse(text, "test").and_then(|topology| topology.plan()).expect("a good topology");
    let drawing = plan.draw(width);
    if !drawing.contains("├─ ") {
        for line in drawing.lines() {
            assert!(line.chars().count() <= width, "too wide:\n{drawing}");
        }
    }
    format!("\n{drawing}")
}

#[test]
fn two_servers() {
    insta::assert_snapshot!(draw(
        "net br1 192.168.1.0/24
         net wan 203.0.113.0/24
         router host br1=.10 wan=.1 nat(wan from=br1)
         node ns1 br1=.11
         node ns2 br1=.12
         node internet wan=.2 addr=8.8.8.8/32",
        DRAWING_WIDTH
    ));
}

#[test]
fn red_green_blue() {
    insta::assert_snapshot!(draw(
        "net linux-bridge 192.168.24.0/24
         net wan 203.0.113.0/24
         router host linux-bridge=.1 wan=.1 nat(wan from=linux-bridge) dnat(8080/tcp -> red:80)
         node red linux-bridge=.10
         node green linux-bridge=.11
         node blue
         node outside wan=.2",
        DRAWING_WIDTH
    ));
}

#[test]
fn load_balancer() {
    insta::assert_snapshot!(draw(
        "net front 10.1.0.0/24
         net back 10.2.0.0/24
         node client front
         node lb front=.10 back=.10
         node web[3] back=.11",
        DRAWING_WIDTH
    ));
}

#[test]
fn dual_stack_and_links() {
    insta::assert_snapshot!(draw(
        "net clients 10.1.0.0/16 2001:db8:1::/64
         net backends
         router lb clients=.1,::1 backends dnat(80/tcp -> web1:8080 from=clients)
         node web[2] backends
         node client clients
         link client web1 10.9.0.0/31
         link lb client",
        DRAWING_WIDTH
    ));
}

#[test]
fn what_is_too_wide_becomes_a_list() {
    insta::assert_snapshot!(draw(
        "net s
         net t 10.0.0.0/24 2001:db8::/64
         router gw s t nat(t)
         node w[12] s
         node x t
         node alone
         link x w1",
        DRAWING_WIDTH
    ));
}

#[test]
fn nothing_is_drawn_of_nothing() {
    assert_eq!(draw("", 80).trim(), "");
}

#[test]
fn an_interface_of_the_machine_in_a_node() {
    insta::assert_snapshot!(draw(
        "node blue nic(eth1)=10.1.1.83/24,2001:db8::53/64 via=10.1.1.1",
        DRAWING_WIDTH
    ));
}

#[test]
fn an_interface_of_the_machine_shared_by_a_bridge() {
    insta::assert_snapshot!(draw(
        "net br1 10.1.1.0/24 port=eth1
         node host real br1=.51
         node blue br1=.100 via=10.1.1.51
         node green br1=.101 via=10.1.1.51",
        DRAWING_WIDTH
    ));
}

const ALL_OF_THE_MACHINE: &str = "
    net lan 10.7.0.0/24
    net ext 192.168.7.0/24 dev=eth0
    net seg 10.1.1.0/24 2001:db8:1::/64 port=eth1 takeover
    router host real lan ext seg nat(ext)
    node web[2] lan
    node probe ext=.200 seg=.2 via=192.168.7.1
    node blue nic(eth2)=10.9.0.2/24
    link host blue";

#[test]
fn all_that_joins_the_machine() {
    insta::assert_snapshot!(draw(ALL_OF_THE_MACHINE, DRAWING_WIDTH));
    insta::assert_snapshot!("all_that_joins_the_machine_as_a_list", draw(ALL_OF_THE_MACHINE, 40));
}

#[test]
fn the_machine_alone_is_drawn() {
    insta::assert_snapshot!(draw("node host real", DRAWING_WIDTH));
}
