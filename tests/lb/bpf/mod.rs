//! A balancer in BPF, which the kernel runs for each packet that comes in.

mod balancer;
mod faults;
mod program;
