//! The load-balancer toolkit: a right balancer passes every check, and one with a fault fails just the check that is for it.

#[path = "lb/anycast.rs"]
mod anycast;
#[path = "lb/faults.rs"]
mod faults;
#[path = "lb/flows.rs"]
mod flows;
#[path = "lb/kinds.rs"]
mod kinds;
#[path = "lb/nftables/mod.rs"]
mod nftables;
#[path = "lb/paths.rs"]
mod paths;
#[path = "lb/proxy.rs"]
mod proxy;
#[path = "lb/relay.rs"]
mod relay;
#[path = "lb/suite.rs"]
mod suite;

netlab::main!();
