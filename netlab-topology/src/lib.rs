//! netlab's topology language.
//!
//! ```text
//! text --parse--> Topology --plan--> Plan { steps }
//! ```
//!
//! # The language
//!
//! A topology is a list of statements, one a line (`;` also ends one, `#` starts a comment):
//!
//! | statement | what there is |
//! |---|---|
//! | `net NAME [CIDR4] [CIDR6]` | a switched segment; without a subnet, one of the documentation ranges is chosen |
//! | `link NODE NODE [CIDR4] [CIDR6]` | a wire between two nodes |
//! | `node NAME` | a node; `node NAME[3]` are three, named `NAME1` to `NAME3` |
//! | `router NAME` | a node that forwards |
//!
//! The node named `host` is there without being mentioned. A node's nets follow its name, each with its addresses
//! if they matter: `lan`, `lan=.11`, `lan=.11,::b`, `lan=192.168.1.11`; an array counts up from them. Interfaces are
//! named `eth0`, `eth1`, ... in order of attachment; the host's interface on a net is the net's bridge, named as the
//! net. Then come attributes:
//!
//! | attribute | of | what it does |
//! |---|---|---|
//! | `mtu=1400` | net, link, attachment | largest packet, in bytes |
//! | `mac=02:00:00:00:00:01` | net (its bridge), attachment | hardware address |
//! | `offload=off` | net, link, attachment | checksums and segmentation are done by the sender |
//! | `dev=NAME` | attachment | name of the interface |
//! | `via=NODE`, `via=ADDR`, `via=none` | node | the default route, at most one of each family |
//! | `forward` | node | it forwards, as a router does |
//! | `route(CIDR via=NODE)`, `route(CIDR via=ADDR)`, `route(CIDR dev=NET)` | node | a further route |
//! | `addr=8.8.8.8/32` | node | a further address, on `lo`; neighbours have a route to it |
//! | `nat(NET [from=NET\|CIDR])` | node | masquerades what leaves by the net |
//! | `dnat(8080/tcp -> NODE:80 [from=NET])` | node | passes a port of its own addresses on; to a node or an address |
//! | `sysctl(KEY=VALUE)` | node | sets a key under `net.` |
//! | `firewall=nft` | node | what its rules are made with |
//!
//! Attributes of an attachment stand in parentheses: `lan=.11(dev=data0 mtu=1400)`. A name in quotes is never taken
//! for a word of the language.
//!
//! Without `via`, a node's default route leads through the only router it shares a net or link with, in each
//! family; two are an error. A router is none on a net it masquerades out of: the outside does not route to what a
//! NAT hides. An extra address (`addr`) is known to its neighbours, unless several nodes have it, it lies in a subnet
//! of the lab, or they say `via=none`; for an array it is the same for every member.
//!
//! ```
//! use netlab_topology::Topology;
//!
//! # fn main() -> Result<(), netlab_topology::Diagnostics> {
//! let topology = Topology::parse("
//!     net    lan     192.168.1.0/24
//!     net    wan     203.0.113.0/24
//!     router gw      lan=.1 wan nat(wan from=lan)
//!     node   web[2]  lan=.11          # web1 .11, web2 .12
//!     node   client  wan
//! ", "topology of `example`")?;
//! let plan = topology.plan()?;
//! for step in plan.steps() {
//!     println!("{}: {}", plan.place_name(step.place), step.op);   // gw: ip addr add 192.168.1.1/24 ...
//! }
//! print!("{}", plan.draw(100));
//! # Ok(()) }
//! ```
//!
//! Invariant: this crate does no I/O and knows no kernel; all of it takes values and gives values.

#![forbid(unsafe_code)]

mod builder;
mod check;
mod diagnostic;
pub mod model;
mod name;
pub mod plan;
mod render;
mod syntax;
mod topology;

pub use builder::{AttachmentBuilder, Builder, LinkBuilder, NetBuilder, NodeBuilder};
pub use diagnostic::{Diagnostic, Diagnostics, Span, Spanned, suggestion};
pub use name::{IF_NAME_MAX, IfName, IfNameError, MacAddr, MacAddrError};
pub use plan::Plan;
pub use render::DRAWING_WIDTH;
pub use topology::Topology;
