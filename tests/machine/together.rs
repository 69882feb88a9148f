//! Several runners on one machine.

use std::process::Stdio;

use netlab::prelude::*;

use crate::nested::{Underway, command, run, visit};
use crate::scratch::Scratch;

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn privileged_tests_of_several_runners_never_overlap(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let said = scratch.lab.host().enter(|| -> std::io::Result<String> {
        let (mut ours, theirs) = std::io::pipe()?;
        let mut runners = Vec::new();
        for _ in 0..4 {
            let mut nested = command(&["outcomes::one_of_many"]);
            let nested = nested.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(Stdio::null());
            runners.push(nested.spawn()?);
        }
        drop(theirs);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut ours, &mut said)?;
        for mut runner in runners {
            assert!(runner.wait()?.success(), "{said}");
        }
        Ok(said)
    })?;
    let turns: Vec<_> = said.lines().filter(|line| ["begins", "ends"].contains(line)).collect();
    assert_eq!(turns, ["begins", "ends"].repeat(4), "{said}");
    scratch.is_as_it_was();
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn who_waits_says_for_whom_and_isolated_tests_go_on(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let holder = Underway::start("interfaces::c_the_interface_is_blues")?;
    // One that waits for the machine, one that has no need to.
    run(command(&["outcomes::isolated"]))?.passed();
    let mut waiting = command(&["outcomes::one_of_many"]);
    let mut waiting = waiting.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let mut errors = std::io::BufReader::new(waiting.stderr.take().expect("it is piped"));
    std::io::BufRead::read_line(&mut errors, &mut line)?;
    let (who, whom) = ("`outcomes::one_of_many` waits", "`interfaces::c_the_interface_is_blues`");
    assert!(line.contains(who) && line.contains(whom), "{line}");
    assert!(line.contains(&format!("process {}", holder.runner())), "{line}");
    assert!(waiting.try_wait()?.is_none());
    visit(&scratch.far()?, "10.1.1.83:22", "return\n").await?;
    holder.wait()?.passed();
    assert!(waiting.wait()?.success());
    scratch.is_as_it_was();
    Ok(())
}
