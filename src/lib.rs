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
//! test away; none of it has a name on the machine, and nothing of the machine is changed unless the topology says so.
//!
//! # Waiting and asserting
//!
//! ```
//! use netlab::prelude::*;
//! use std::time::Duration;
//!
//! #[netlab::test(topology = "
//!     net    lan 192.168.1.0/24
//!     net    wan 203.0.113.0/24
//!     node   desk   lan
//!     node   web    lan
//!     node   client wan via=none
//!     router gate   lan wan nat(wan)
//! ")]
//! async fn the_gate_lets_out_and_not_in(lab: Lab, desk: Node, web: Node, client: Node, gate: Node) -> netlab::Result {
//!     let before = gate.counters()?;
//!     lab.expect()
//!         .sees_source(&desk, client.tcp(80), gate.addr_on(&lab.net("wan")?)?)
//!         .not_reaches(&client, web.tcp(80)).while_reached_by(&desk)
//!         .check().await?;                                        // a table of expected and seen, if not
//!     before.changed()?.rule("masquerade", 1..).check()?;
//!     eventually(Duration::from_secs(5), async || {
//!         assert!(gate.neighbours()?.len() > 1);                  // shown only if it is so to the end
//!         Ok::<_, netlab::Error>(())
//!     })
//!     .await?;
//!     Ok(())
//! }
//! ```
//!
//! [`Lab::expect`] sends what it takes to know who reaches whom, brings a listener where nothing listens, and tries until all
//! holds together; what it is never asked to [`check`](Expectations::check) fails the test. [`Lab::reachability`] shows all pairs. [`Node::counters`]
//! and [`Node::tables`] say what changed in the kernel; [`eventually()`] waits for anything else, and nothing sleeps.
//!
//! # What not every machine has
//!
//! A test that needs a program, or something of the kernel that not every machine has, says so:
//!
//! ```
//! use netlab::prelude::*;
//!
//! #[netlab::test(topology = "net lan; node client lan; node lb lan")]
//! async fn the_stock_balancer(lb: Node) -> netlab::Result {
//!     netlab::requires_program("haproxy");
//!     let services = lb.enter(|| std::fs::read_to_string("/proc/net/ip_vs"));
//!     netlab::requires("ipvs", services, "load the module: `sudo modprobe ip_vs`");
//!     Ok(())
//! }
//! ```
//!
//! Where it is lacking the test is ignored with that reason, as one for which no sandbox can be had; in CI it fails, unless
//! `NETLAB_WITHOUT` names it.
//!
//! # The machine's own network
//!
//! A topology may say that the lab is joined to the machine: `node host real` makes the host the machine itself, `nic(eth1)`
//! moves an interface of it into a node, `port=eth1` makes one a port of a net's bridge, and `dev=eth0` puts nodes on what
//! it is on. The [language](Topology) describes them. For such a *privileged* test:
//!
//! - The machine is the network namespace that the test binary was started in. Changing it takes `CAP_NET_ADMIN` and
//!   `CAP_SYS_ADMIN` in the user namespace that owns it: root on a machine, or in a container with `--privileged`. Without
//!   them a test is ignored, with the command that would run it, such as
//!   `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='sudo -E' cargo test`.
//! - One runs at a time on the machine, across threads, processes, test binaries and users. Who has to wait says for whom.
//!   Isolated tests go on meanwhile.
//! - Every change is written down, with its undo, before it is made. When the test has ended, in whatever way, its runner
//!   undoes them in reverse; if the runner was killed as well, the next privileged test does so first, or `cargo netlab gc`.
//!   What somebody else has changed in between is left as it is, and fails the test by name.
//! - Nothing is done to an interface that carries the default route, or the address of a connection that is open, unless the
//!   topology says `force`; nor where a name that the lab needs is taken. Both are errors before any change.
//! - The machine's firewall is changed with the program `iptables`, where its owner looks for rules, in chains of the run's own.
//!
//! Under `netlab::main!()` waiting costs nothing: tests that share a lock (privileged ones, and each group of `serial`) wait on a
//! thread of their own, are listed last, and leave the `--test-threads` to the others. The standard harness and
//! cargo-nextest give each waiting test one of their threads. For nextest, a group keeps them from being started before
//! their turn; in `.config/nextest.toml`, with a filter that finds yours:
//!
//! ```toml
//! [test-groups]
//! machine = { max-threads = 1 }
//!
//! [[profile.default.overrides]]
//! filter = 'test(on_the_machine)'
//! test-group = 'machine'
//! ```
//!
//! # Features
//!
//! | feature | | |
//! |---|---|---|
//! | `http` | on | [`servers::identity`](mod@servers), [`Node::get`] |
//! | `tls` | off | TLS around any server, HTTPS, the lab's certificate authority |
//! | `dns` | off | the DNS server `Lab::dns_server` |
//! | `lb` | off | the module `lb`: what a load balancer has to prove |
//!
//! # Settings
//!
//! | variable | |
//! |---|---|
//! | `NETLAB_STRICT=1` | what cannot run here fails; also with `CI` set |
//! | `NETLAB_WITHOUT=ipvs,haproxy` | what the machine is known to lack: tests that [require](requires) it are ignored all the same |
//! | `NETLAB_TIMEOUT=30s` | how long a test may take that does not say it itself; 60 seconds unless set |
//! | `NETLAB_TIMEOUT_SCALE=4` | multiplies every limit, for slow machines |
//! | `NETLAB_THREADS=2` | how many tests netlab's own harness runs at once; else `RUST_TEST_THREADS`, else as many as processors |
//! | `NETLAB_RETIRE=0` | of how many finished labs the namespaces are let go together, since their end slows the next build; 512 unless set |
//! | `NETLAB_LOG=ops,programs` | what is told of on the test's output as it is done, with the time: `labs`, `ops` (the commands that build them), `programs`, `servers`, or `all`; each also an event of `tracing` |
//! | `NETLAB_USERS=one` | for an ordinary user, a sandbox has no other user than root, though `newuidmap` could give it more; saves two milliseconds a run |

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod __private;
#[doc(hidden)]
pub mod cli;
mod main_macro;
pub mod prelude;

#[cfg(feature = "http")]
pub use netlab_runtime::client::{Get, Response};
pub use netlab_runtime::error::{Error, Result};
pub use netlab_runtime::kernel::BuildError;
#[doc(inline)]
pub use netlab_runtime::lab::ready;
#[cfg(feature = "tls")]
pub use netlab_runtime::lab::{Ca, Certificate};
pub use netlab_runtime::lab::{Command, LabError, Ping, PingError, Reply};
pub use netlab_runtime::lab::{Destination, Endpoint, ToDestination, ToEndpoint};
pub use netlab_runtime::lab::{
    Expectations, Miss, MissKind, NeedsPositiveControl, Reachability, Service, Unmet,
};
pub use netlab_runtime::lab::{Lab, Link, Net, Node};
pub use netlab_runtime::lab::{Limit, Process, ProgramError, ProgramErrorKind, Signal};
pub use netlab_runtime::sandbox::{requires, requires_program};
pub use netlab_runtime::wait::{Attempt, Failure, NotInTime, eventually, eventually_blocking};
pub use netlab_topology::{Diagnostics, Plan, Topology};

/// What the kernel has, read back from it: the values that handles give, and [`Lab::dump`]'s.
pub mod inspect {
    pub use netlab_runtime::kernel::inspect::{
        Direction, FdbEntry, Flow, FlowProtocol, Interface, InterfaceCounters, IpNet, Neighbour,
        NeighbourState, OperState, Protocol, QdiscCounters, Route, RuleCounters, Socket, SocketState,
    };
    pub use netlab_runtime::lab::{
        Bounds, Changes, Counters, Dump, NodeDump, TableChanges, Tables, WrongChange, WrongTables,
    };
}

pub mod servers {
    #![doc = include_str!("servers.md")]

    pub use netlab_runtime::servers::*;
}

/// The topology language as a library: the builder, its errors, and the plan made of a topology.
pub mod topology {
    // Not `model` and `plan`: with a second `Node` or `Net` the compiler would write `netlab::Node` in its messages.
    #[doc(no_inline)]
    pub use netlab_topology::{
        AttachmentBuilder, Builder, Diagnostic, Diagnostics, IfName, LinkBuilder, MacAddr, NetBuilder,
        NicBuilder, NodeBuilder, Plan, Span, Topology,
    };
}

#[cfg(feature = "lb")]
#[doc(inline)]
pub use netlab_lb as lb;

#[doc = include_str!("attribute.md")]
pub use netlab_macros::test;
