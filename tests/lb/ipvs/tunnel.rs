//! The end of tunnels at a backend: packets in IP, as IPVS sends them.

use std::io;

use netlab::prelude::*;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpTunnel, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::Netlink;

/// The interface that packets come out of.
pub const NAME: &str = "tunnel";

/// Takes packets to a node in IP (RFC 2003) from anybody: `ip link add tunnel up type ipip local ADDRESS`.
///
/// # Errors
///
/// The kernel has no such tunnels.
pub fn end_at(node: &Node) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link.attributes = vec![
        LinkAttribute::IfName(NAME.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::IpIp),
            LinkInfo::Data(InfoData::IpTunnel(vec![InfoIpTunnel::Local(node.addr())])),
        ]),
    ];
    let netlink = Netlink::open(node, NETLINK_ROUTE)?;
    netlink.request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL).map(drop)
}
