//! SIGKILL of the sandbox, of the runner, and of both: the runner mends the machine, or else the next one does.

use netlab::prelude::*;

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

/// Waits for the dead to be gone, sees that they left the machine changed, and runs another test.
fn mended_by_the_next(scratch: &Scratch, dead: Underway) -> netlab::Result {
    assert!(!dead.wait()?.status.success());
    assert_ne!(scratch.changes()?.0.len(), 0, "there is nothing left for the next runner");
    run(command(&["outcomes::one_of_many"]))?.passed();
    scratch.is_as_it_was();
    Ok(())
}
