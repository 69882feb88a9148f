//! A test on the machine's own network: one at a time on the whole machine, and everything undone.
//!
//! ```text
//! privilege? -> lock, sweep of dead runs, journal -> sandbox -> dead -> undo in reverse -> unlock
//! ```

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use netlab_topology::Topology;
use netlab_topology::plan::Place;

use super::interrupt::Running;
use crate::machine::{Holder, Session, Turn};
use crate::registry::{TestDef, TopologySource};
use crate::sandbox::{
    Failure, Launch, NeedsTheMachine, OnTheMachine, Outcome, Run, launch, may_change_the_machine,
};

/// What a test needs of the machine, as far as it can be known before the test runs.
pub(super) fn needs(def: &TestDef) -> Option<NeedsTheMachine> {
    let TopologySource::Text { text, privileged: true, .. } = def.topology else { return None };
    // It was checked when the test was compiled; were it wrong all the same, the sandbox would say so.
    let plan = Topology::parse(text, def.function()).and_then(|topology| topology.plan());
    Some(NeedsTheMachine { real: plan.is_ok_and(|plan| plan.machine() == Some(Place::HOST)) })
}

/// Runs a test on the machine's own network.
pub(super) fn run(def: &TestDef, how: Launch, needs: NeedsTheMachine) -> Run {
    if let Err(why) = may_change_the_machine() {
        return Run::without(Outcome::Unavailable(why));
    }
    let waiting = |holder: &Holder| {
        say(&format!("netlab: `{}` waits for the machine's network, which {holder} has\n", def.name()));
    };
    let unsafe_to_begin = |error| {
        let error = crate::error::Error::from(error);
        Run::failed(Failure::Sandbox(format!("the machine cannot be changed safely: {error:#}")))
    };
    let turn = match Turn::wait(how.live, waiting) {
        Ok(turn) => turn,
        Err(error) => return unsafe_to_begin(error),
    };
    // From here on a signal waits until all is undone, the journal included.
    let running = Running::begin(def);
    let session = match Session::begin(def.name(), turn) {
        Ok(session) => session,
        Err(error) => return unsafe_to_begin(error),
    };
    for swept in session.swept() {
        say(&format!("netlab: before `{}`: {swept}\n", def.name()));
    }
    let descriptors = match session.descriptors() {
        Ok(descriptors) => descriptors,
        Err(error) => return Run::failed(Failure::Sandbox(format!("the journal: {error}"))),
    };
    let mut keep =
        |place: &str, namespace: OwnedFd| session.pin(place, namespace).map_err(|error| error.to_string());
    let machine = OnTheMachine { real: needs.real, descriptors, keep: &mut keep };
    let run = launch(def, how, Some(machine));
    // The sandbox is dead, whatever way it ended: nothing changes any more but what is undone here.
    let left = session.end();
    let mut run = run.unwrap_or_else(|_never| unreachable!("it was given the machine"));
    running.may_tell(&run.outcome);
    run.outcome = run.outcome.with_left(left.iter().map(ToString::to_string).collect());
    // Nothing of it is kept: what the machine had is there again, and is nobody else's.
    run.settle(0);
    drop(running);
    run
}

/// Not `eprint!`, which the standard harness would keep to itself. Where standard error is closed, nobody is waiting to be told.
fn say(line: &str) {
    drop(io::stderr().write_all(line.as_bytes()));
}
