//! IPVS, the balancer in the kernel. A kernel that has it is in `tests/vm.sh`.

mod bench;
mod forwarding;
mod schedulers;
mod services;
mod tunnel;
mod whole;
