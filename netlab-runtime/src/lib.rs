//! netlab's runtime: builds labs in the kernel, runs tests in sandboxes, reports on them.
//!
//! ```text
//! TestDef --runner--> sandbox --worker--> Plan --kernel--> Lab --handles--> body --> Outcome --> report
//! ```

pub mod alive;
#[cfg(feature = "http")]
pub mod client;
pub mod computed;
pub mod doctor;
pub mod error;
pub mod kernel;
pub mod lab;
pub mod log;
pub mod machine;
pub mod registry;
pub mod runner;
pub mod sandbox;
pub mod servers;
pub mod settings;
pub mod sys;
pub mod wait;

pub use linkme;
