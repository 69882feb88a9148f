//! Servers that run inside a test, on the thread of a node, and do as they are told.
//!
//! ```text
//! Node::serve(server) --bind--> Engine { doors, streams, mode, counters } <--controls-- Serving
//!                                  `-- accept, datagrams --> Connection --> Server::connection
//! ```
//!
//! [`Server`] says what happens to one connection or one datagram. Everything else is here once, for all of them: listening, the
//! controls of [`Serving`] (stop, kill, hang, refuse, slow, throttle, flap, resume) and the [`Counters`].
//!
//! Invariant: a control has taken effect when its method returns. Sockets are closed and reset by the caller, under their
//! locks, rather than by asking a task to do it.
//!
//! Invariant: what runs on the node's thread holds no handle to the lab, which therefore ends with its last handle.
//!
//! Locks are taken in this order: control, door, streams, stream, mode.

mod accept;
mod bind;
mod connection;
mod counters;
mod datagrams;
#[cfg(feature = "dns")]
mod dns;
mod door;
mod echo;
mod engine;
#[cfg(feature = "http")]
mod identity;
mod mode;
mod occupied;
#[cfg(feature = "http")]
mod seen;
mod server;
mod serving;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod transfer;

pub use connection::{Connection, Meter};
pub use counters::Counters;
#[cfg(feature = "dns")]
pub use dns::{Dns, DnsFailure, DnsQuery, DnsRecord};
pub use echo::{Echo, UdpEcho, echo, udp_echo};
#[cfg(feature = "http")]
pub use identity::{Identity, identity};
#[cfg(feature = "http")]
pub use seen::{Seen, SeenError};
pub use server::{Datagram, Listen, Server};
pub use serving::{Serving, Until};
#[cfg(feature = "tls")]
pub use tls::{Tls, tls};
pub use transfer::{Sink, Source, Transfer, sink, source};
