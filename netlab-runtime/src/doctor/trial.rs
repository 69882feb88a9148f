//! The lab that the doctor really builds, and the whole of the examination.

use std::time::{Duration, Instant};

use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use super::check::{Check, Group, Report, State};
use super::{inside, limits, machine, programs, settings};
use crate::lab::Lab;
use crate::registry::{Body, BodyResult, Flavor, ShouldPanic, TestDef, TopologySource};
use crate::sandbox::{self, Harness, Launch, Limit, Outcome, Run, Worker, human};

/// Two nodes and the switch between them, and nothing that any kernel for labs lacks.
static TRIAL: TestDef = TestDef {
    path: "netlab::doctor",
    file: file!(),
    line: line!(),
    topology: TopologySource::Text { text: "net lan; node a lan; node b lan", file: None, privileged: false },
    parameters: &[],
    timeout: None,
    serial: None,
    ignore: None,
    should_panic: ShouldPanic::No,
    flavor: Flavor::CurrentThread,
    body: Body::Sync(body),
};

/// What marks a line of the worker's that is a check.
const MARK: &str = "netlab-doctor ";

/// The trial takes a fraction of a second.
const LIMIT: Limit = Limit { after: Duration::from_secs(20), scale: 1.0, source: "the doctor's patience" };

const WHY: &str = "every test runs in a lab";

#[expect(clippy::needless_pass_by_value, reason = "as every body of a test has it")]
fn body(lab: Lab) -> BodyResult {
    let text = |error: &dyn std::error::Error| {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    };
    let (a, b) = (lab.node("a").map_err(|error| text(&error))?, lab.node("b").map_err(|error| text(&error))?);
    let reply = a.ping(b.addr()).blocking().map_err(|error| text(&error))?;
    tell(&Check::ok(Group::Labs, "ping", WHY).needed().found(format!("answered in {:.0?}", reply.rtt)));
    inside::checks().iter().for_each(tell);
    Ok(())
}

fn tell(check: &Check) {
    match serde_json::to_string(check) {
        Ok(line) => println!("{MARK}{line}"),
        Err(error) => eprintln!("netlab: a check cannot be written: {error}"),
    }
}

/// Runs this process as the worker of an examination, if it was started as that; call it first of all.
pub fn run_worker() {
    if let Some(worker) = Worker::here() {
        if worker.path() == TRIAL.path {
            worker.run(&TRIAL);
        }
        worker.unknown();
    }
}

/// Examines this machine.
///
/// The program that calls this has to call [`run_worker`] when it starts: it is executed again in the sandbox.
#[must_use]
pub fn examine() -> Report {
    let started = Instant::now();
    let run = sandbox::launch(&TRIAL, Launch { harness: Harness::Own, live: false, limit: LIMIT }, None);
    let run = run.expect("its topology is a text, which says what it needs");
    let elapsed = started.elapsed();
    let mut checks = vec![machine::kernel(), lab(&run, elapsed)];
    checks.extend(told(&run));
    checks.extend(machine::checks());
    checks.extend(programs::checks());
    checks.extend(limits::checks());
    checks.extend(settings::checks());
    // Stable: within a group they stay as they came.
    checks.sort_by_key(|check| check.group);
    let kernel = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    Report {
        kernel,
        architecture: std::env::consts::ARCH.to_owned(),
        user: sandbox::user_name(geteuid()).unwrap_or_else(|| geteuid().to_string()),
        labs_can_run: checks.iter().all(|check| !check.needed || check.state != State::Missing),
        checks,
    }
}

/// What the worker told.
fn told(run: &Run) -> Vec<Check> {
    let text = run.output.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(MARK));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What became of the lab.
fn lab(run: &Run, elapsed: Duration) -> Check {
    let (name, why) = ("a lab of two nodes", WHY);
    match &run.outcome {
        Outcome::Passed => {
            Check::ok(Group::Labs, name, why).found(format!("there and gone in {}", human(elapsed)))
        }
        Outcome::Unavailable(unavailable) => {
            Check::missing(Group::Labs, name, why, &unavailable.remedy).found(&unavailable.missing)
        }
        Outcome::Failed(failure) => {
            let said = run.output.text();
            let said = said.lines().filter(|line| !line.starts_with(MARK)).collect::<Vec<_>>().join("; ");
            let found = if said.is_empty() { failure.to_string() } else { format!("{failure} ({said})") };
            Check::missing(Group::Labs, name, why, "see under Rights, and what the system says").found(found)
        }
    }
    .needed()
}
