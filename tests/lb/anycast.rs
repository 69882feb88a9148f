//! A balancer that the kernel is: a router with several ways to one address, which every backend has (equal-cost multipath). The
//! answers do not come back through it.

use std::net::IpAddr;

use netlab::lb::{LbTest, who};
use netlab::prelude::*;

/// The address that all backends have.
pub const VIP: [u8; 4] = [10, 9, 9, 9];
pub const VIP_V6: [u16; 8] = [0x2001, 0xdb8, 9, 0, 0, 0, 0, 9];

/// What the balancer chooses by (`net.ipv4.fib_multipath_hash_policy`, and the same of IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The two addresses; for an ICMP error those of the packet that it is about.
    Addresses = 0,
    /// Addresses and ports; for an ICMP error its own, which has nothing to do with whose flow it is about.
    ///
    /// Where a packet still bears the hash that its sender's socket gave it, that is taken instead (`fib_multipath_hash` in
    /// net/ipv4/route.c). It crosses veth pairs, so here a flow is a socket, and the same ports of another socket go elsewhere.
    Ports = 1,
}

/// Backends, and a balancer that routes to them.
pub async fn bench(client: &Node, lb: &Node, web: &[Node], by: By) -> netlab::Result<LbTest> {
    // A flow label is hashed with the addresses, and automatic ones differ between the two directions of a flow.
    for node in web.iter().chain([client]) {
        node.set_sysctl("net.ipv6.auto_flowlabels", 0)?;
    }
    for backend in web {
        backend.serve(who(80, backend.name())).await?;
    }
    lb.set_sysctl("net.ipv4.fib_multipath_hash_policy", by as u8)?;
    let ways: Vec<IpAddr> = web.iter().map(Node::addr).collect();
    route(lb, &IpAddr::from(VIP).to_string(), &ways).await?;
    let mut vips = vec![(VIP, 80).into()];
    if web.iter().all(|backend| backend.addrs().contains(&VIP_V6.into())) {
        vips.push((VIP_V6, 80).into());
        lb.set_sysctl("net.ipv6.fib_multipath_hash_policy", by as u8)?;
        let ways: Vec<IpAddr> = web.iter().map(|backend| backend.addr6().into()).collect();
        route(lb, &IpAddr::from(VIP_V6).to_string(), &ways).await?;
    }
    Ok(LbTest::new([client], vips))
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
