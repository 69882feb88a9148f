//! What a load balancer has to prove, whichever it is.
//!
//! A load sends requests and writes down what became of each: [`Traffic`], a list of [`Observation`]s. A check is a question to
//! that list with bounds, and its answer a [`Verdict`], whose text is a table of what was expected, seen and allowed.
//!
//! ```
//! # use netlab_lb::{Answer, Observation, Traffic};
//! # let traffic: Traffic = (0..300).map(|n| Observation {
//! #     source: ([192, 0, 2, 1], 40_000 + n).into(),
//! #     sent: std::time::Duration::from_millis(n.into()),
//! #     took: std::time::Duration::from_millis(1),
//! #     connection: n.into(),
//! #     outcome: Ok(Answer {
//! #         backend: format!("web{}", n % 3 + 1),
//! #         seen: ([192, 0, 2, 1], 40_000 + n).into(),
//! #         cookie: None,
//! #     }),
//! # }).collect();
//! // At random, and wrong about a good balancer once in a million runs:
//! traffic.share([("web1", 1), ("web2", 1), ("web3", 1)]).by_chance(1e-6).holds()?;
//! # Ok::<(), netlab_lb::Failed>(())
//! ```
//!
//! Invariant: no I/O. Checks take values and give values, so each is tested with a balancer's faults written down.

mod affinity;
mod binomial;
mod disruption;
mod drain;
mod failover;
mod health;
mod observation;
mod share;
mod source;
mod summary;
mod table;
mod traffic;
mod verdict;

pub use affinity::Affinity;
pub use disruption::{Disruption, same_choice};
pub use drain::Drain;
pub use failover::Misses;
pub use health::Health;
pub use observation::{Answer, Key, KeyValue, Miss, Observation};
pub use share::Share;
pub use source::Sees;
pub use summary::Summary;
pub use table::Table;
pub use traffic::Traffic;
pub use verdict::{Failed, Verdict};

#[cfg(test)]
mod sample;
