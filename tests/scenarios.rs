//! The founding scenarios A, B and E: every row of their tables is a test, and every observation is made from real
//! sockets or from what the kernel reports, never from the plan.
//!
//! What is observed is in `scenarios/rows.rs`, since the same rows hold where the host is the machine itself
//! (`tests/fixtures/privileged`). C and D, which need a machine with interfaces, are in `tests/machine.rs`.

#[path = "scenarios/e.rs"]
mod e;
#[path = "scenarios/rows.rs"]
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use netlab::prelude::*;
use nix::net::if_::InterfaceFlags;

// ---------------------------------------------------------------- A. Two servers behind a virtual switch

#[netlab::test(topology = "net br1 192.168.1.0/24; node ns1 br1=.11")]
fn a1_a_fresh_namespace_has_lo_down_and_a_node_has_it_up(ns1: Node) -> netlab::Result {
    let fresh = interfaces_of_a_fresh_namespace()?;
    assert_eq!(fresh, [("lo".to_owned(), false)]);
    assert!(ns1.iface("lo")?.up);
    Ok(())
}

#[netlab::test(topology = "
    net  br1 192.168.1.0/24
    node host br1=.10
    node ns1  br1=.11
    node ns2  br1=.12
")]
fn a2_each_namespace_sees_its_own_interface(lab: Lab, ns1: Node, ns2: Node) -> netlab::Result {
    rows::a2_each_namespace_sees_its_own_interface(lab, ns1, ns2)
}

#[netlab::test(topology = "net br1 192.168.1.0/24; node host br1=.10; node ns1 br1=.11")]
fn a3_the_host_has_the_route_on_the_bridge(lab: Lab) -> netlab::Result {
    rows::a3_the_host_has_the_route_on_the_bridge(lab)
}

#[netlab::test(topology = "
    net  br1 192.168.1.0/24
    node host br1=.10
    node ns1  br1=.11
    node ns2  br1=.12
")]
async fn a4_everyone_reaches_everyone(lab: Lab) -> netlab::Result {
    rows::a4_everyone_reaches_everyone(lab).await
}

#[netlab::test(topology = "net br1 192.168.1.0/24; node host br1=.10; node ns1 br1=.11")]
async fn a5_without_a_default_route_the_network_is_unreachable(ns1: Node) -> netlab::Result {
    rows::a5_without_a_default_route_the_network_is_unreachable(ns1).await
}

#[netlab::test(topology = "
    net    br1  192.168.1.0/24
    net    wan  203.0.113.0/24
    router host br1=.10 wan=.1
    node   ns1  br1=.11
    node   internet  wan=.2  addr=8.8.8.8/32  via=none
")]
async fn a6_without_nat_the_request_leaves_and_no_reply_comes_back(
    ns1: Node,
    internet: Node,
) -> netlab::Result {
    rows::a6_without_nat_the_request_leaves_and_no_reply_comes_back(ns1, internet).await
}

#[netlab::test(topology = "tests/topologies/two_servers.topo")]
async fn a7_with_nat_the_world_answers_and_sees_the_host(ns1: Node, internet: Node) -> netlab::Result {
    rows::a7_with_nat_the_world_answers_and_sees_the_host(ns1, internet).await
}

#[netlab::test(topology = "tests/topologies/two_servers.topo")]
async fn a8_two_servers_on_the_same_port_answer_for_themselves(
    ns1: Node,
    ns2: Node,
    lab: Lab,
) -> netlab::Result {
    rows::a8_two_servers_on_the_same_port_answer_for_themselves(ns1, ns2, lab).await
}

#[netlab::test(topology = "
    net    br1  192.168.1.0/24
    net    wan  203.0.113.0/24
    net    dmz  198.51.100.0/24
    router host br1=.10 wan=.1 dmz=.1  nat(wan from=br1)
    node   ns1  br1=.11
    node   internet  wan=.2
    node   neighbour dmz=.2
")]
async fn a9_masquerade_can_be_limited_to_one_interface(
    ns1: Node,
    internet: Node,
    neighbour: Node,
) -> netlab::Result {
    rows::a9_masquerade_can_be_limited_to_one_interface(ns1, internet, neighbour).await
}

// ---------------------------------------------------------------- B. Red, green, blue

#[netlab::test(topology = "tests/topologies/red_green_blue.topo")]
async fn b1_blue_holds_lo_alone_and_reaches_nobody(red: Node, green: Node, blue: Node) -> netlab::Result {
    rows::b1_blue_holds_lo_alone_and_reaches_nobody(red, green, blue).await
}

#[netlab::test(topology = "tests/topologies/red_green_blue.topo")]
async fn b2_the_bridge_learns_each_address_on_its_own_port(
    lab: Lab,
    red: Node,
    green: Node,
) -> netlab::Result {
    rows::b2_the_bridge_learns_each_address_on_its_own_port(lab, red, green).await
}

#[netlab::test(topology = "tests/topologies/red_green_blue.topo")]
async fn b3_red_knows_greens_hardware_address_after_reaching_it(red: Node, green: Node) -> netlab::Result {
    rows::b3_red_knows_greens_hardware_address_after_reaching_it(red, green).await
}

#[netlab::test(topology = "tests/topologies/red_green_blue.topo")]
async fn b4_the_gateway_carries_outbound_traffic_through_nat(red: Node, client: Node) -> netlab::Result {
    rows::b4_the_gateway_carries_outbound_traffic_through_nat(red, client).await
}

#[netlab::test(topology = "tests/topologies/red_green_blue.topo")]
async fn b5_the_port_forward_reaches_red_which_sees_the_client(red: Node, client: Node) -> netlab::Result {
    rows::b5_the_port_forward_reaches_red_which_sees_the_client(red, client).await
}

/// The sandbox of this test plays the machine: scenario B runs in it as a test of its own, from its runner to its end.
/// The machine has no IPv6, whose link-local addresses come and go by themselves.
#[netlab::test(topology = "
    net    lan
    router host  lan nat(lan) sysctl(net.ipv6.conf.all.disable_ipv6=1)
    node   other lan
")]
fn b6_after_the_test_nothing_is_left(lab: Lab) -> netlab::Result {
    // A folder of its own for temporary files, since others use the machine's at the same time.
    let unique =
        fs::read_link("/proc/self/ns/net")?.to_string_lossy().replace(|c: char| !c.is_ascii_digit(), "");
    let temporary = std::env::temp_dir().join(format!("netlab-scenario-b6-{unique}"));
    fs::create_dir(&temporary)?;
    let outcome = scenario_b_leaves_nothing(&lab, &temporary);
    fs::remove_dir_all(&temporary)?;
    outcome
}

fn scenario_b_leaves_nothing(lab: &Lab, temporary: &Path) -> netlab::Result {
    let before = machine(lab, temporary)?;
    for (test, passes) in
        [("b5_the_port_forward_reaches_red_which_sees_the_client", true), ("b6_fails", false)]
    {
        let mut run = Command::new(std::env::current_exe()?);
        let run = run.args(["--exact", "--include-ignored", test]).env("TMPDIR", temporary).output()?;
        let said = String::from_utf8_lossy(&run.stdout);
        let ended = if passes { "1 passed" } else { "1 failed" };
        if run.status.success() != passes || !said.contains(test) || !said.contains(ended) {
            return Err(netlab::Error::msg(format!(
                "`{test}` did not end as it should: {}\n{said}",
                run.status
            )));
        }
        let after = machine(lab, temporary)?;
        let changes: Vec<_> = after.symmetric_difference(&before).collect();
        if !changes.is_empty() {
            return Err(netlab::Error::msg(format!("`{test}` changed the machine: {changes:#?}")));
        }
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/red_green_blue.topo")]
#[ignore = "fails on purpose, with a daemon left in red: part of b6"]
fn b6_fails(red: Node) -> netlab::Result {
    let daemon = red.enter(|| Command::new("sh").args(["-c", "(setsid sleep 600 &)"]).status())?;
    panic!("the daemon started: {daemon}");
}

/// What scenario B could leave behind, as the kernel tells it: processes, namespaces, interfaces, routes, rules, mounts
/// and files.
fn machine(lab: &Lab, temporary: &Path) -> netlab::Result<BTreeSet<String>> {
    let host = lab.host();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let Ok(command) = fs::read_to_string(process.join("comm")) else { continue };
        seen.insert(format!("process {} {}", process.display(), command.trim()));
        seen.insert(format!("namespace {}", fs::read_link(process.join("ns/net"))?.display()));
    }
    for interface in host.ifaces()? {
        seen.insert(format!("interface {} {} {:?}", interface.index, interface.name, interface.addrs));
    }
    seen.extend(host.routes()?.iter().map(|route| format!("route {route}")));
    // Without the counters, which go on counting.
    seen.extend(
        host.rules()?.iter().filter_map(|rule| Some(format!("rule {}", rule.split(" counter ").next()?))),
    );
    seen.extend(fs::read_to_string("/proc/self/mountinfo")?.lines().map(|mount| format!("mount {mount}")));
    for entry in fs::read_dir(temporary)? {
        seen.insert(format!("file {}", entry?.path().display()));
    }
    Ok(seen)
}

/// Name and up flag of every interface of a namespace that nobody has touched.
fn interfaces_of_a_fresh_namespace() -> netlab::Result<Vec<(String, bool)>> {
    let look = || -> netlab::Result<Vec<(String, bool)>> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of its own, which ends in the namespace it makes"
        )]
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        // One entry for each interface (its hardware address), then one for each address: there are none.
        let entries = nix::ifaddrs::getifaddrs()?;
        Ok(entries
            .map(|entry| (entry.interface_name, entry.flags.contains(InterfaceFlags::IFF_UP)))
            .collect())
    };
    std::thread::scope(|scope| scope.spawn(look).join())
        .map_err(|_panic| netlab::Error::msg("it panicked"))?
}

netlab::main!();
