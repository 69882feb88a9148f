//! The load-balancer toolkit: a right balancer passes every check, and one with a fault fails just the check that is for it.

#[path = "lb/anycast.rs"]
mod anycast;
#[path = "lb/bpf/mod.rs"]
mod bpf;
#[path = "lb/direct.rs"]
mod direct;
#[path = "lb/faults.rs"]
mod faults;
#[path = "lb/flows.rs"]
mod flows;
#[path = "lb/hairpin.rs"]
mod hairpin;
#[path = "lb/haproxy/mod.rs"]
mod haproxy;
#[path = "lb/idle.rs"]
mod idle;
#[path = "lb/ipvs/mod.rs"]
mod ipvs;
#[path = "lb/kinds.rs"]
mod kinds;
#[path = "lb/many.rs"]
mod many;
#[path = "lb/netlink.rs"]
mod netlink;
#[path = "lb/nftables/mod.rs"]
mod nftables;
#[path = "lb/nginx/mod.rs"]
mod nginx;
#[path = "lb/page.rs"]
mod page;
#[path = "lb/paths.rs"]
mod paths;
#[path = "lb/proxy.rs"]
mod proxy;
#[path = "lb/relay.rs"]
mod relay;
#[path = "lb/scripts.rs"]
mod scripts;
#[path = "lb/suite.rs"]
mod suite;

netlab::main!();
