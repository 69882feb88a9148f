//! The machine's own network: who may change it, what was changed, and how it becomes what it was.
//!
//! ```text
//! runner:  Turn::wait --lock--> Session::begin --sweep, journal--> sandbox --dead--> Session::end: undo in reverse, unlock
//! worker:  Machine::open -> look -> bind(plan) -> record(steps), carry them out -> record(steps), carry them out ...
//! ```
//!
//! *The machine* is the network namespace of the runner. A change of it is written to the `journal`, with its `undo`, and is
//! on disk before it is made. It is undone by the runner once the sandbox is dead, whatever way it ended; where the runner
//! is dead too, by the next one or by `cargo netlab gc` (`sweep`), with the same code.
//!
//! Invariant: nothing is changed that the journal does not know. Invariant: nothing is found by a pattern of its name; an
//! undo names one object, and leaves it if it is not as we left it. Invariant: only who holds the `lock` changes anything,
//! undoing included.

mod firewall;
mod ground;
mod identity;
mod journal;
mod lock;
mod nic;
mod owner;
mod pins;
mod raw;
mod refuse;
mod restore;
mod session;
mod state;
mod sweep;
mod sysctl;
mod undo;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use firewall::{Firewall, PRIVATE_LOCK};
pub use lock::Holder;
pub use session::{Session, SessionError, Turn};
pub use sweep::{Fate, RunInfo, SweepError, Swept, runs, sweep};
pub use undo::Left;
pub(crate) use worker::Machine;
