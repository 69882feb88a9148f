//! A director, and what is expected of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netlab::lb::{Key, Load, Misses, Sees, Traffic, Verdict};
use netlab::prelude::*;

use super::services::{Director, Forward, Scheduler};
use crate::suite::{FALSE_ALARM, sources};

/// The director's address before its backends, and beside them.
pub const BEFORE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 254)), 80);
pub const BESIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)), 80);

/// IPVS of a node.
pub fn director_of(lb: &Node) -> Director {
    netlab::requires("ipvs", Director::of(lb), "run the test as root, after `modprobe ip_vs`")
}

/// The address of a backend that a packet to `vip` is sent on to.
pub fn server(backend: &Node, vip: SocketAddr) -> SocketAddr {
    let addr = if vip.is_ipv4() { backend.addr4().into() } else { backend.addr6().into() };
    SocketAddr::new(addr, 80)
}

/// Has a director balance what comes to `vip` among these backends, all of the same weight.
pub fn balance(
    director: &Director,
    vip: SocketAddr,
    scheduler: Scheduler,
    web: &[Node],
    forward: Forward,
) -> netlab::Result {
    director.add_service(vip, scheduler)?;
    for backend in web {
        director.add_server(vip, server(backend, vip), forward, 1)?;
    }
    Ok(())
}

/// What holds of round robin in every way of forwarding, requests coming one after the other. The clients are no multiple of the
/// backends, or their turns would coincide.
pub fn round_robin(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share_equally(web).exactly(),
        traffic.affinity(Key::Source).absent(3, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

/// Requests one after the other, from ten addresses in turn.
pub fn one_by_one() -> Load {
    Load::requests(300).concurrency(1).from(sources(10))
}
