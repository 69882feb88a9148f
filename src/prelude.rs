//! What nearly every test needs: `use netlab::prelude::*;`.

pub use crate::{Lab, Link, Net, Node, Topology, eventually, eventually_blocking, ready, servers};
