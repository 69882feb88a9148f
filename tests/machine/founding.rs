//! The founding scenarios C and D, and A and B with the real host.

use netlab::prelude::*;

use crate::nested::{Underway, command, run, visit};
use crate::scratch::Scratch;

// ---------------------------------------------------------------- C. A physical interface in a namespace

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn c1_c2_the_interface_is_in_blue_and_its_daemon_is_reached(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let test = Underway::start("interfaces::c_the_interface_is_blues")?;
    assert!(scratch.lab.host().iface("eth1").is_err(), "it is gone from the machine");
    let far = scratch.far()?;
    far.ping("10.1.1.83").await?;
    assert_eq!(visit(&far, "10.1.1.83:22", "return\n").await?, "blue sees 10.1.1.1");
    test.wait()?.passed();
    scratch.is_as_it_was();
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
async fn c3_the_interface_is_back_however_the_test_ends(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for order in ["return", "fail", "panic", "abort"] {
        let test = Underway::start("interfaces::c_the_interface_is_blues")?;
        visit(&scratch.far()?, "10.1.1.83:22", &format!("{order}\n")).await?;
        let ran = test.wait()?;
        if order == "return" {
            ran.passed()
        } else {
            ran.failed()
        };
        scratch.is_as_it_was();
    }
    scratch.far()?.ping("10.1.1.2").await?;
    Ok(())
}

// ---------------------------------------------------------------- D. A physical interface shared through a bridge

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn d1_d2_blue_red_and_the_host_are_reached_through_one_wire(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let test = Underway::start("interfaces::d_the_interface_is_shared")?;
    let far = scratch.far()?;
    for (addr, answer) in [("10.1.1.51:22", "host"), ("10.1.1.100:22", "blue"), ("10.1.1.101:22", "red")] {
        assert_eq!(visit(&far, addr, "").await?, format!("{answer} sees 10.1.1.1"));
    }
    visit(&far, "10.1.1.100:22", "return\n").await?;
    test.wait()?.passed();
    scratch.is_as_it_was();
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
async fn d3_the_interface_is_out_of_the_bridge_however_the_test_ends(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for order in ["return", "fail", "panic", "abort"] {
        let test = Underway::start("interfaces::d_the_interface_is_shared")?;
        visit(&scratch.far()?, "10.1.1.51:22", &format!("{order}\n")).await?;
        let ran = test.wait()?;
        if order == "return" {
            ran.passed()
        } else {
            ran.failed()
        };
        scratch.is_as_it_was();
    }
    scratch.far()?.ping("10.1.1.2").await?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn a_bridge_that_takes_over_answers_for_the_interface(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let test = Underway::start("interfaces::d_the_bridge_takes_over")?;
    let host = scratch.lab.host();
    assert!(
        host.routes()?
            .iter()
            .any(|route| route.to_string().starts_with("172.31.0.0/16 via 10.1.1.1 dev br1"))
    );
    assert_eq!(visit(&scratch.far()?, "10.1.1.2:22", "return\n").await?, "host sees 10.1.1.1");
    test.wait()?.passed();
    scratch.is_as_it_was();
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn nodes_are_on_what_an_interface_is_on(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let test = Underway::start("interfaces::macvlans_are_on_what_the_interface_is_on")?;
    let far = scratch.far()?;
    // The machine keeps what it has.
    far.ping("10.1.1.2").await?;
    assert_eq!(visit(&far, "10.1.1.91:22", "").await?, "red sees 10.1.1.1");
    assert_eq!(visit(&far, "10.1.1.90:22", "return\n").await?, "blue sees 10.1.1.1");
    test.wait()?.passed();
    scratch.is_as_it_was();
    Ok(())
}

// ---------------------------------------------------------------- A and B with the real host

/// The rows of a scenario that need nobody outside, one by one: the machine is as it was after each.
fn rows(lab: Lab, rows: &[&str]) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for row in rows {
        run(command(&[&format!("scenarios::{row}")]))?.passed().says("1 passed");
        scratch.is_as_it_was();
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn a_on_the_machine_itself(lab: Lab) -> netlab::Result {
    rows(
        lab,
        &[
            "a2_each_namespace_sees_its_own_interface",
            "a3_the_host_has_the_route_on_the_bridge",
            "a4_everyone_reaches_everyone",
            "a5_without_a_default_route_the_network_is_unreachable",
            "a6_without_nat_the_request_leaves_and_no_reply_comes_back",
            "a7_with_nat_the_world_answers_and_sees_the_host",
            "a8_two_servers_on_the_same_port_answer_for_themselves",
            "a9_masquerade_can_be_limited_to_one_interface",
        ],
    )
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn b_on_the_machine_itself(lab: Lab) -> netlab::Result {
    rows(
        lab,
        &[
            "b1_blue_holds_lo_alone_and_reaches_nobody",
            "b2_the_bridge_learns_each_address_on_its_own_port",
            "b3_red_knows_greens_hardware_address_after_reaching_it",
            "b4_the_gateway_carries_outbound_traffic_through_nat",
            "b5_the_port_forward_reaches_red_which_sees_the_client",
        ],
    )
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn b4_out_of_the_machine_by_its_own_interface(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let listener = scratch.internet()?.tcp_listener("8.8.8.8:22").await?;
    scratch.internet()?.spawn(async move {
        while let Ok((mut stream, visitor)) = listener.accept().await {
            let said = format!("internet sees {}\n", visitor.ip());
            tokio::io::AsyncWriteExt::write_all(&mut stream, said.as_bytes()).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    // The nested runner is waited for on a thread of its own, since this one serves the internet.
    let ran =
        tokio::task::spawn_blocking(|| run(command(&["scenarios::b4_out_of_the_machine_itself"]))).await??;
    ran.passed().says("1 passed");
    scratch.is_as_it_was();
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn b5_into_the_machine_from_outside(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let test = Underway::start("scenarios::b5_into_the_machine_from_outside")?;
    let internet = scratch.internet()?;
    assert_eq!(visit(&internet, "198.18.0.1:8080", "return\n").await?, "red sees 198.18.0.2");
    test.wait()?.passed();
    scratch.is_as_it_was();
    Ok(())
}
