//! The live network of one test, and the handles to it.

mod live;

pub use live::{Lab, Link, Net, Node};
