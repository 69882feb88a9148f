//! One sandbox a test: the runner's side that starts, watches and reaps it, and the worker's side that runs in it.
//!
//! ```text
//! runner --clone--> init (PID 1) --fork, exec--> worker: view, lab, body --report--> runner: Outcome
//! ```
//!
//! Invariant: the runner never enters a namespace; what it knows of a sandbox comes through descriptors.
//! Invariant: when a sandbox's run has an outcome, every process of it is dead.

mod launch;
mod live;
mod outcome;
mod output;
mod panics;
mod parameters;
mod privilege;
mod report;
mod requires;
mod retired;
mod survivors;
mod unavailable;
mod users;
mod view;
mod worker;

pub use launch::{Harness, Launch, Limit, NeedsTheMachine, OnTheMachine, Run, launch};
pub use live::end_all;
pub(crate) use outcome::human;
pub use outcome::{Failure, Outcome};
pub use output::Output;
pub use privilege::may_change_the_machine;
pub use requires::{requires, requires_program};
pub use retired::{raise_descriptor_limit, survivors_at_the_end};
pub use survivors::Survivor;
pub use unavailable::{Unavailable, probe};
pub(crate) use users::user_name;
pub use users::{Range, Ranges, probe as probe_users};
pub(crate) use worker::VARIABLE as WORKER;
pub use worker::Worker;
