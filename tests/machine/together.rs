//! Several runners on one machine.

use std::io::Read;
use std::process::{Command, Stdio};

use netlab::prelude::*;

use crate::nested::{Underway, command, run, visit};
use crate::scratch::Scratch;

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn privileged_tests_of_several_runners_never_overlap(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let said = take_turns(std::array::from_fn(|_| command(&["outcomes::one_of_many"])))?;
    assert_eq!(said, ["begins", "ends"].repeat(4));
    scratch.is_as_it_was();
    Ok(())
}

/// Starts all of them at once, and gives what their tests said, in its order.
fn take_turns(commands: [Command; 4]) -> netlab::Result<Vec<String>> {
    let (mut ours, theirs) = std::io::pipe()?;
    let mut runners = Vec::new();
    for mut nested in commands {
        let nested = nested.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs.try_clone()?);
        runners.push(nested.spawn()?);
    }
    drop(theirs);
    let mut said = String::new();
    ours.read_to_string(&mut said)?;
    for mut runner in runners {
        assert!(runner.wait()?.success(), "{said}");
    }
    let turns = said.lines().filter(|line| ["begins", "ends"].contains(line));
    Ok(turns.map(str::to_owned).collect())
}

/// Root, and a user who has been given the two capabilities and nothing else, whose journals are in another folder. The sandbox of an
/// ordinary user may have but one user: then both are root's.
#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn runners_of_two_users_never_overlap(lab: Lab) -> netlab::Result {
    const OTHER: &str = "65534";
    let map = std::fs::read_to_string("/proc/self/uid_map")?;
    let is_mapped = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first.saturating_add(count)).contains(&65534))
    };
    let has_other = map.lines().any(is_mapped);
    let scratch = Scratch::new(lab)?;
    let as_other = || {
        let nested = command(&["outcomes::one_of_many"]);
        if !has_other {
            return nested;
        }
        let mut other = Command::new("setpriv");
        other.args(["--reuid", OTHER, "--regid", OTHER, "--clear-groups"]);
        other.args(["--inh-caps=-all,+net_admin,+sys_admin", "--ambient-caps=-all,+net_admin,+sys_admin"]);
        other.arg(nested.get_program()).args(nested.get_args());
        for (name, value) in nested.get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        other
    };
    let said = take_turns([
        command(&["outcomes::one_of_many"]),
        as_other(),
        command(&["outcomes::one_of_many"]),
        as_other(),
    ])?;
    assert_eq!(said, ["begins", "ends"].repeat(4));
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
