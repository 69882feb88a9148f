//! Sending requests, and writing down what becomes of them.
//!
//! ```text
//! LbTest --start(Load)--> Worker, Worker, ... in the clients' namespaces --Conversation--> balancer --> Who
//!                            `-- Observation, Observation, ... --> Traffic
//! ```

mod conversation;
mod counted;
mod proxy;
mod spec;
mod stop;
mod test;
mod too_big;
mod watch;
mod who;
mod worker;

pub use conversation::Over;
pub use spec::Load;
pub use test::{LbTest, LoadError, Underway};
pub use too_big::TooBigWatch;
pub use watch::Watch;
pub use who::{Who, who};
