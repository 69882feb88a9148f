//! SIGKILL of the sandbox, of the runner, and of both: the runner mends the machine, or else the next one does.

use std::fs;

use netlab::prelude::*;
use nix::mount::{MsFlags, mount, umount};

use crate::nested::{Underway, command, run};
use crate::scratch::Scratch;

/// One test for each way to change the machine.
const TESTS: [&str; 4] = [
    "interfaces::c_the_interface_is_blues",
    "interfaces::d_the_interface_is_shared",
    "interfaces::d_the_bridge_takes_over",
    "scenarios::b5_into_the_machine_from_outside",
];

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn after_sigkill_of_the_sandbox_the_runner_mends(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for test in TESTS {
        let underway = Underway::start(test)?;
        assert_ne!(scratch.changes()?.0.len(), 0, "`{test}` changes the machine");
        underway.kill(underway.init()?)?;
        underway.wait()?.failed().says("killed from outside");
        scratch.is_as_it_was();
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn after_sigkill_of_the_runner_the_next_one_mends(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for test in TESTS {
        let underway = Underway::start(test)?;
        underway.kill(underway.runner())?;
        mended_by_the_next(&scratch, underway)?;
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn after_sigkill_of_both_the_next_runner_mends(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for test in TESTS {
        let underway = Underway::start(test)?;
        let (runner, init) = (underway.runner(), underway.init()?);
        underway.kill(init)?;
        underway.kill(runner)?;
        mended_by_the_next(&scratch, underway)?;
    }
    Ok(())
}

/// A folder with no room left: what cannot be written down is not done, and what was done is undone all the same. The full file system
/// takes less with each turn, so that each time another change is the one that finds no room.
#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn with_no_room_for_the_journal_nothing_is_left(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    fs::create_dir_all("/run/netlab")?;
    // In pages; on the first there is the journal's header, and with all of them the test passes.
    for pages in 0..8 {
        let options = format!("mode=755,size={}", pages * 4096);
        let size = if pages == 0 { "mode=755,nr_inodes=1" } else { options.as_str() };
        mount(Some("full"), "/run/netlab", Some("tmpfs"), MsFlags::empty(), Some(size))?;
        let ran = run(command(&["scenarios::b4_the_gateway_carries_outbound_traffic_through_nat"]))?;
        umount("/run/netlab")?;
        scratch.is_as_it_was();
        if ran.status.success() {
            assert!(pages > 1, "there was no room");
            return Ok(());
        }
        println!("{pages} pages:\n{}", ran.failed().said);
    }
    panic!("it never passed");
}

/// Waits for the dead to be gone, sees that they left the machine changed, and runs another test.
fn mended_by_the_next(scratch: &Scratch, dead: Underway) -> netlab::Result {
    assert!(!dead.wait()?.status.success());
    assert_ne!(scratch.changes()?.0.len(), 0, "there is nothing left for the next runner");
    run(command(&["outcomes::one_of_many"]))?.passed();
    scratch.is_as_it_was();
    Ok(())
}
