//! What this machine can do for labs, tried rather than guessed, with what would mend what is missing.
//!
//! ```text
//! runner's side: files of /proc and /sys, programs, settings ---> Report of Checks
//!      `--sandbox--> worker: a lab, then each feature in a namespace of its own --lines--'
//! ```
//!
//! Invariant: nothing is changed. What is made is made in a sandbox, or only read.

mod check;
mod inside;
mod kinds;
mod limits;
mod machine;
mod programs;
mod settings;
mod trial;

pub use check::{Check, Group, Report, State};
pub use trial::{examine, run_worker};
