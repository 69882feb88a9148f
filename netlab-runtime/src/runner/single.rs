//! One test, from waiting for its turn to its outcome, whatever the harness.

use std::io::{self, Write};
use std::time::Duration;

use super::interrupt::Running;
use super::{privileged, serial};
use crate::registry::TestDef;
use crate::sandbox::{Failure, Harness, Launch, Limit, NeedsTheMachine, Run, launch};
use crate::settings::Settings;

/// How long a test may take where neither it nor `NETLAB_TIMEOUT` says.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a test in its sandbox, alone in its group if it has one, and alone on the machine if it touches that.
pub(super) fn run(def: &TestDef, harness: Harness, live: bool, settings: &Settings) -> Run {
    let waiting = |group: &str, pid: i32| {
        let line = format!(
            "netlab: `{}` waits for a test of `serial = \"{group}\"` in process {pid} to end\n",
            def.name()
        );
        // Not `eprint!`, which the standard harness would keep to itself. Where standard error is closed, nobody
        // is waiting to be told.
        drop(io::stderr().write_all(line.as_bytes()));
    };
    let turn = def.serial.map(|group| serial::lock(group, live, |pid| waiting(group, pid))).transpose();
    let turn = match turn {
        Ok(turn) => turn,
        Err(error) => {
            let failure =
                Failure::Sandbox(format!("the lock of `serial = \"{}\"`: {error}", def.serial.unwrap_or("")));
            return Run::failed(failure);
        }
    };
    let how = Launch { harness, live, limit: limit(def, settings) };
    let isolated = match privileged::needs(def) {
        Some(needs) => Err(needs),
        None => isolated(def, how, settings),
    };
    let run = isolated.unwrap_or_else(|needs| privileged::run(def, how, needs));
    drop(turn);
    run
}

/// Runs a test that has nothing to do with the machine.
///
/// # Errors
///
/// Its topology is one that was computed, and it has.
fn isolated(def: &TestDef, how: Launch, settings: &Settings) -> Result<Run, NeedsTheMachine> {
    let running = Running::begin(def);
    let mut run = launch(def, how, None)?;
    running.may_tell(&run.outcome);
    run.settle(settings.retire);
    drop(running);
    Ok(run)
}

/// When a test is to be given up.
fn limit(def: &TestDef, settings: &Settings) -> Limit {
    let (after, source) = match (def.timeout, settings.timeout) {
        (Some(after), _) => (after, "the `timeout` of the test"),
        (None, Some(after)) => (after, "NETLAB_TIMEOUT"),
        (None, None) => {
            (DEFAULT_TIMEOUT, "the default; `timeout = \"..\"` of the test or NETLAB_TIMEOUT changes it")
        }
    };
    Limit { after: settings.scaled(after), scale: settings.timeout_scale, source }
}
