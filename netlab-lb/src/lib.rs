//! What a load balancer has to prove, whichever it is.
//!
//! A load sends requests and writes down what became of each: [`Traffic`], a list of [`Observation`]s. A check is a question to
//! that list with bounds, and its answer a [`Verdict`], whose text is a table of what was expected, seen and allowed.
//!
//! ```
//! # use netlab_lb::{Answer, Observation, Traffic};
//! # let traffic: Traffic = (0..300).map(|n| Observation {
//! #     client: "client".to_owned(),
//! #     source: ([192, 0, 2, 1], 40_000 + n).into(),
//! #     sent: std::time::Duration::from_millis(n.into()),
//! #     took: std::time::Duration::from_millis(1),
//! #     connection: n.into(),
//! #     bytes: Default::default(),
//! #     closed: None,
//! #     outcome: Ok(Answer {
//! #         backend: format!("web{}", n % 3 + 1),
//! #         seen: ([192, 0, 2, 1], 40_000 + n).into(),
//! #         cookie: None,
//! #     }),
//! # }).collect();
//! // At random, and wrong about a good balancer once in a million runs:
//! traffic.share_equally(["web1", "web2", "web3"]).by_chance(1e-6).holds()?;
//! # Ok::<(), netlab_lb::Failed>(())
//! ```
//!
//! [`LbTest`] sends loads from the nodes of a lab; where the observations come from is nothing to the checks.
//!
//! # The checks
//!
//! | what a balancer promises | how it is asked | of a load |
//! |---|---|---|
//! | each backend gets its share | [`Traffic::share`] | with as many decisions as chance needs |
//! | a client stays with its backend, or does not | [`Traffic::affinity`] | with [several requests a source](Load::from) |
//! | few clients move when backends change | [`Traffic::disruption`] | twice from the same sources |
//! | instances choose alike | [`same_choice`] | from the same sources by each |
//! | what is drained gets nothing new, and keeps what it has | [`Traffic::drain`] | under way meanwhile, [kept](Load::keep_connections) and fresh |
//! | nothing is lost: on reload, when a backend fails | [`Traffic::loses`], [`Traffic::all_fail`] | under way meanwhile |
//! | who falls leaves, who rises returns, nobody flaps | [`Traffic::health`] | under way meanwhile |
//! | backends see the client, or the balancer | [`Traffic::source`] | any; with `who(..)`[`.proxy_protocol()`](Who::proxy_protocol) or not |
//! | flows do not outlive their backend | [`Traffic::removal`] | kept, from ports that are given, under way meanwhile |
//! | answers come back through the balancer, or past it | [`Traffic::return_path`], [`Watch`] | of [large answers](Load::answers_of) |
//! | large answers get through where the path narrows | [`Traffic::path_mtu`], [`TooBigWatch`] | of large answers, kept |
//! | silent connections are kept so long, and closed then | [`Traffic::idle`] | that [pauses](Load::pause), kept |
//! | backends reach the balancer's address themselves | [`Traffic::hairpin`] | whose clients are the backends |

mod checks;
mod clock;
mod dsr;
mod load;
mod observation;
mod summary;
mod timeline;
mod traffic;

pub use checks::{
    Affinity, Disruption, Drain, Failed, Hairpin, Health, Idle, Misses, PathMtu, Removal, ReturnPath, Sees,
    Sent, SentBy, Share, Table, Told, Verdict, same_choice,
};
pub use dsr::dsr;
pub use load::{LbTest, Load, LoadError, Over, TooBigWatch, Underway, Watch, Who, who};
pub use observation::{Answer, Bytes, Key, KeyValue, Miss, Observation};
pub use summary::Summary;
pub use timeline::Timeline;
pub use traffic::Traffic;
