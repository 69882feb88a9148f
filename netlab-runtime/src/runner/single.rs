//! One test, from waiting for its turn to its outcome, whatever the harness.

use std::io::{self, Write};

use super::interrupt::Running;
use super::serial;
use super::settings::Settings;
use crate::registry::TestDef;
use crate::sandbox::{Failure, Harness, Launch, Run, launch};

/// Runs a test in its sandbox, alone in its group if it has one.
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
    let running = Running::begin(def);
    let mut run = launch(def, Launch { harness, live, limit: settings.limit(def) });
    running.may_tell(&run.outcome);
    run.settle(settings.retire);
    drop(running);
    drop(turn);
    run
}
