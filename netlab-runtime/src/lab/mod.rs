//! The live network of one test, and the handles to it.
//!
//! A handle is a cheap clone of a reference to the lab. What it tells of the lab's shape (names, addresses) is the
//! plan's; what it tells of its state (interfaces, routes, tables) is read from the kernel when asked.
//!
//! Invariant: no thread of a shared pool ever changes namespace. Sockets are made, closures run and programs started by
//! threads made for it; futures run on the node's own thread.

#[cfg(feature = "tls")]
mod ca;
mod change;
mod command;
mod counters;
mod dump;
mod endpoint;
mod error;
mod expect;
mod find;
mod folder;
mod hosts;
mod link;
mod live;
mod net;
mod node;
mod ping;
mod program;
pub mod ready;
mod resolver;
mod socket;
mod state;
mod tables;
mod template;
mod thread;

#[cfg(feature = "tls")]
pub use ca::{Ca, Certificate};
pub use change::Bounds;
pub use command::Command;
pub use counters::{Changes, Counters, WrongChange};
pub use dump::{Dump, NodeDump};
pub(crate) use endpoint::resolve;
pub use endpoint::{Destination, Endpoint, ToDestination, ToEndpoint};
pub use error::LabError;
pub(crate) use expect::unchecked;
pub use expect::{Expectations, Miss, MissKind, NeedsPositiveControl, Reachability, Service, Unmet};
pub use link::Link;
pub use live::Lab;
pub(crate) use live::in_a_sandbox;
pub use net::Net;
pub use node::Node;
pub use ping::{Ping, PingError, Reply};
pub(crate) use program::conclude;
pub use program::{Limit, Process, ProgramError, ProgramErrorKind, Signal};
pub(crate) use state::Entry;
pub use tables::{TableChanges, Tables, WrongTables};
