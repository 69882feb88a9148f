//! Programs that run in a node while the test goes on.
//!
//! ```text
//! Command --launch--> Program <--reads, notices the end-- Supervisor (a thread a lab)
//!                        ^----signals, waits, asks---- Process (handles)
//! ```
//!
//! Invariant: every program is the leader of a process group of its own, and signals go to the group.
//! Invariant: what is known of a program's end comes from its pidfd, never from its process id.

mod error;
mod hint;
mod launch;
mod log;
mod process;
#[expect(clippy::module_inception, reason = "the module is about programs, the file about one")]
mod program;
mod signal;
mod supervisor;
mod unasked;
mod user;

pub use error::{ProgramError, ProgramErrorKind};
pub use launch::Limit;
pub(super) use launch::{Options, Passed, marker, start};
pub use process::Process;
pub(super) use program::Program;
pub use signal::Signal;
pub(super) use supervisor::Supervisor;
pub(crate) use unasked::conclude;
pub(super) use user::As;
