//! A balancer that the kernel is: a router with several ways to one address, which every backend has (equal-cost multipath). The
//! answers do not come back through it.

use std::net::{IpAddr, SocketAddr};

use netlab::lb::{LbTest, who};
use netlab::prelude::*;

/// The address that all backends have.
pub const VIP: [u8; 4] = [10, 9, 9, 9];

/// What the balancer chooses by (`net.ipv4.fib_multipath_hash_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The two addresses; for an ICMP error those of the packet that it is about.
    Addresses = 0,
    /// Addresses and ports; for an ICMP error its own, which has nothing to do with whose flow it is about.
    Ports = 1,
}

/// Backends, and a balancer that routes to them.
pub async fn bench(client: &Node, lb: &Node, web: &[Node], by: By) -> netlab::Result<LbTest> {
    for backend in web {
        backend.serve(who(80, backend.name())).await?;
    }
    lb.set_sysctl("net.ipv4.fib_multipath_hash_policy", by as u8)?;
    let ways: Vec<IpAddr> = web.iter().map(Node::addr).collect();
    route(lb, &IpAddr::from(VIP).to_string(), &ways).await?;
    Ok(LbTest::new([client], [vip()]))
}

pub fn vip() -> SocketAddr {
    (VIP, 80).into()
}

/// Has a node send what goes to `destination` by these ways, in place of the way it had.
pub async fn route(node: &Node, destination: &str, ways: &[IpAddr]) -> netlab::Result {
    netlab::requires_program("ip");
    let mut command = node.command("ip").args(["route", "replace", destination]);
    for way in ways {
        command = command.args(["nexthop", "via", &way.to_string()]);
    }
    let output = command.output().await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
