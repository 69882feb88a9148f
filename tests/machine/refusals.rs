//! What is not done, and why: the machine is as it was, since nothing was begun.

use netlab::prelude::*;

use crate::nested::{command, run};
use crate::scratch::Scratch;

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn what_is_refused_is_refused_before_any_change(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for (test, why) in [
        ("refused_the_default_route", "default route"),
        ("refused_a_missing_interface", "eth9"),
        ("refused_a_name_that_is_taken", "eth1"),
    ] {
        run(command(&[&format!("interfaces::{test}")]))?
            .failed()
            .says("the lab could not be built")
            .says(why);
        scratch.is_as_it_was();
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
fn a_computed_topology_that_needs_the_machine_gets_it(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    run(command(&["outcomes::computed"]))?.passed().says("1 passed");
    scratch.is_as_it_was();
    Ok(())
}

/// In a user namespace of its own a process is root, and nobody to the machine's network.
#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
fn without_privilege_it_is_ignored_with_the_command(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let elsewhere = |strict: bool| {
        let mut nested = std::process::Command::new("unshare");
        let fixture = command(&[]);
        nested.arg("-r").arg(fixture.get_program()).args(["outcomes::", "--test-threads=2"]);
        nested.env("NETLAB_TESTS_SCRATCH_MACHINE", "1").env_remove("CI").env_remove("NETLAB_STRICT");
        if strict {
            nested.env("NETLAB_STRICT", "1");
        }
        run(nested)
    };
    elsewhere(false)?
        .passed()
        .says("test outcomes::isolated")
        .says("ignored (a lab on the machine's own network takes CAP_NET_ADMIN and CAP_SYS_ADMIN")
        .says("netlab: 2 ignored: 2 cannot run here (a lab on the machine's own network")
        .says("_RUNNER='sudo -E' cargo test`");
    elsewhere(true)?.failed().says("cannot run here, and must").says("1 passed; 2 failed");
    scratch.is_as_it_was();
    Ok(())
}
