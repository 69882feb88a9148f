//! A test harness that gives every test its own network: real Linux namespaces, bridges, veth pairs, routes and
//! NAT, built in milliseconds before the test and gone after it, whatever the test did. It works with plain
//! `cargo test` and with cargo-nextest, without root, and needs no program on the machine.
//!
//! ```
//! use netlab::prelude::*;
//!
//! #[netlab::test(topology = "
//!     net  lan  192.168.1.0/24
//!     node client  lan=.10
//!     node web[2]  lan=.11          # web1 .11, web2 .12
//! ")]
//! async fn the_servers_answer(client: Node, web: [Node; 2]) -> netlab::Result {
//!     for server in &web {
//!         client.ping(server.name()).await?;             // names resolve in every node
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The attribute is all there is to set up: [`test`](macro@test) says what it takes. A topology with a mistake,
//! or a parameter that names nothing in it, is a compile error. The language is described at [`Topology`].
//!
//! # Which harness
//!
//! The same tests run in two ways; choose by target.
//!
//! | | standard harness | netlab's own |
//! |---|---|---|
//! | where | any `tests/*.rs`, any `#[cfg(test)] mod` | a target with `harness = false` |
//! | set-up | none | the line `netlab::main!();` and the target in `Cargo.toml` |
//! | beside other `#[test]`s | yes | no: it runs netlab's tests only |
//! | a test that cannot run here | fails, and says what to do | is ignored with the reason |
//! | arguments | the standard harness's | the same, and `--report-time`, `--shuffle` and several filters on stable Rust |
//!
//! The second needs this in `Cargo.toml`; with `[[example]]` and `test = true` it makes an example that
//! `cargo run --example NAME` runs as well, its output shown live:
//!
//! ```toml
//! [[test]]
//! name = "labs"
//! harness = false
//! ```
//!
//! cargo-nextest runs both, at the price of a process for each test that cannot keep finished labs for later: the kernel
//! destroys their bridges while the next tests build theirs.
//!
//! # How a test runs
//!
//! Every test is a process of its own, born in new user (when not root), network, mount, PID, UTS and IPC
//! namespaces. In it the lab is built, and the function is called with the handles it asks for: [`Lab`], [`Node`],
//! [`Net`], [`Link`]. The test body itself runs in the node `host`, which every lab has. When the function
//! returns, panics, aborts or is out of time, the kernel takes every process, namespace, interface and rule of the
//! test away; none of it has a name on the machine, and nothing of the machine is ever changed.
//!
//! # Settings
//!
//! | variable | |
//! |---|---|
//! | `NETLAB_STRICT=1` | what cannot run here fails; also with `CI` set |
//! | `NETLAB_TIMEOUT=30s` | how long a test may take that does not say it itself; 60 seconds unless set |
//! | `NETLAB_TIMEOUT_SCALE=4` | multiplies every limit, for slow machines |
//! | `NETLAB_THREADS=2` | how many tests netlab's own harness runs at once; else `RUST_TEST_THREADS`, else as many as processors |
//! | `NETLAB_RETIRE=0` | of how many finished labs the namespaces are let go together, since their end slows the next build; 512 unless set |
//! | `NETLAB_USERS=one` | for an ordinary user, a sandbox has no other user than root, though `newuidmap` could give it more; saves two milliseconds a run |

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod __private;
#[doc(hidden)]
pub mod cli;
mod main_macro;
pub mod prelude;

pub use netlab_runtime::error::{Error, Result};
pub use netlab_runtime::kernel::BuildError;
pub use netlab_runtime::lab::{Command, LabError, Ping, PingError, Reply};
pub use netlab_runtime::lab::{Destination, Endpoint, ToDestination, ToEndpoint};
pub use netlab_runtime::lab::{Lab, Link, Net, Node};
pub use netlab_runtime::wait::{Attempt, Failure, NotInTime, eventually, eventually_blocking};
pub use netlab_topology::{Diagnostics, Plan, Topology};

/// What the kernel has, read back from it: the values that handles give, and [`Lab::dump`]'s.
pub mod inspect {
    pub use netlab_runtime::kernel::inspect::{
        FdbEntry, Interface, Neighbour, NeighbourState, OperState, Protocol, Route, Socket, SocketState,
    };
    pub use netlab_runtime::lab::{Dump, NodeDump};
}

/// The topology language as a library: the builder, its errors, and the plan made of a topology.
pub mod topology {
    // Not `model` and `plan`: with a second `Node` or `Net` the compiler would write `netlab::Node` in its messages.
    #[doc(no_inline)]
    pub use netlab_topology::{
        AttachmentBuilder, Builder, Diagnostic, Diagnostics, IfName, LinkBuilder, MacAddr, NetBuilder,
        NodeBuilder, Plan, Span, Topology,
    };
}

#[doc = include_str!("attribute.md")]
pub use netlab_macros::test;
