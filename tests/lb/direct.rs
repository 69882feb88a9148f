//! Loads to backends that answer clients directly, past the balancer.

use std::net::SocketAddr;

use netlab::lb::{LbTest, Load, Traffic};
use netlab::prelude::*;

/// One client address, and so many ports of it.
pub fn ports(number: u16) -> impl Iterator<Item = SocketAddr> {
    (20_000..20_000 + number).map(|port| ([10, 1, 0, 1], port).into())
}

/// Sends a load, and sees that answers do not come to the balancer's `eth0`: it receives no more than the router's `eth1` sends.
pub async fn answered_directly(test: &LbTest, load: Load, lb: &Node, gw: &Node) -> netlab::Result<Traffic> {
    /// Questions for MAC addresses, and what else goes to all.
    const TO_ALL: u64 = 20;
    let (at_lb, at_gw) = (lb.counters()?, gw.counters()?);
    let traffic = test.send(load).await?;
    let at_lb = at_lb.changed()?;
    let sent = gw.counters()?.interface("eth1")?.tx_packets - at_gw.interface("eth1")?.tx_packets;
    let requests = traffic.answers().count() as u64;
    at_lb.rx_packets("eth0", requests..=sent + TO_ALL).check()?;
    Ok(traffic)
}
