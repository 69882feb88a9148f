//! Programs in nodes: started, ready, watched, signalled, ended. They are `sh`, and this very binary.

#[path = "programs/ending.rs"]
mod ending;
#[path = "programs/helper.rs"]
mod helper;
#[path = "programs/log.rs"]
mod log;
#[path = "programs/readiness.rs"]
mod readiness;
#[path = "programs/surroundings.rs"]
mod surroundings;

use std::time::Duration;

use netlab::prelude::*;
use netlab::{Command, Process};

/// Bounds a failure, not a success.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shell in a node.
fn sh(node: &Node, script: &str) -> Command {
    node.command("sh").arg("-c").arg(script)
}

/// This binary as a program.
fn helper(node: &Node, role: &str) -> Command {
    node.command("/proc/self/exe").args([helper::AS, role]).name(role)
}

/// Waits until a process is in one of these states, or gone (`-`).
fn wait_for_state(pid: u32, states: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-');
        if states.contains(state) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "process {pid} is in state {state}, not one of {states}"
        );
        std::thread::yield_now();
    }
}

/// The number that a line of the log begins with `what` and has behind it.
fn number_after(process: &Process, what: &str) -> u32 {
    let log = process.log().expect("there is a log");
    let line = log.lines().find_map(|line| line.strip_prefix(what)).expect("the line was waited for");
    line.trim().parse().expect("it ends with a number")
}

netlab::main!(helper::program);
