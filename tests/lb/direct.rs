//! Backends that answer clients directly, past the balancer.

use std::net::SocketAddr;

use netlab::lb::{LbTest, Load, Watch};
use netlab::prelude::*;

/// Answers so large that the headers beside them say nothing.
pub const ANSWER: u64 = 20_000;

/// One client address, and so many ports of it.
pub fn ports(number: u16) -> impl Iterator<Item = SocketAddr> {
    (20_000..20_000 + number).map(|port| ([10, 1, 0, 1], port).into())
}

/// Sees that requests pass the balancer, and that answers do not, but come by the router.
pub async fn answers_go_past(test: &LbTest, lb: &Node, gw: &Node) -> netlab::Result {
    let (at_lb, at_gw) = (Watch::begin(lb)?, Watch::begin(gw)?);
    let traffic = test.send(Load::requests(60).answers_of(ANSWER)).await?;
    traffic.return_path(&at_lb.sent()?).bypasses().holds()?;
    traffic.return_path(&at_gw.sent()?).carries_answers().holds()?;
    Ok(())
}
