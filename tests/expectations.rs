//! Waiting, expectations of the network, and what the kernel counts.

#[path = "expectations/eventually.rs"]
mod eventually;

netlab::main!();
