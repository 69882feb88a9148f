//! Waiting, expectations of the network, and what the kernel counts.

#[path = "expectations/counters.rs"]
mod counters;
#[path = "expectations/eventually.rs"]
mod eventually;
#[path = "expectations/matrix.rs"]
mod matrix;
#[path = "expectations/unmet.rs"]
mod unmet;

netlab::main!();
