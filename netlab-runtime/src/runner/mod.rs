//! Runs tests: under `netlab::main!()` all of a binary, under the standard harness one at a time.
//!
//! ```text
//! arguments, settings -> selection -> serial lock -> sandbox -> Run -> what is printed
//! ```

mod arguments;
mod harness;
mod ignored;
mod interrupt;
mod lanes;
pub mod libtest;
mod privileged;
mod serial;
mod single;
mod survivors;

pub use harness::main;
