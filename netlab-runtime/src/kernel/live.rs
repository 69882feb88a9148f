//! Changes to a lab that stands, as handles ask for them.

use std::io;

use ipnet::IpNet;
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::inspect::{self, Flow};
use super::route::{self, NEW};
use super::socket::NetlinkSocket;
use super::watch;

/// Gives an interface of the socket's namespace an address, and returns when it can be used.
pub(crate) fn add_address(socket: &mut NetlinkSocket, index: u32, addr: IpNet) -> io::Result<()> {
    let message = route::new_address(index, addr);
    socket.batch([(NEW, message)].into_iter()).map_err(|refused| refused.error)?;
    match watch::wait_until_settled(socket, Some(&[index]))? {
        None => Ok(()),
        Some(tentative) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("address `{tentative}` stayed tentative")))
        }
    }
}

/// Has the kernel forget tracked connections, and says how many (`IPCTNL_MSG_CT_DELETE`). The socket is of `NETLINK_NETFILTER`.
pub(crate) fn forget_flows(
    socket: &mut NetlinkSocket,
    which: &(dyn Fn(&Flow) -> bool + Sync),
) -> io::Result<usize> {
    let mut forgotten = 0;
    for (flow, key) in inspect::tracked(socket)?.into_iter().filter(|(flow, _)| which(flow)) {
        let family = if flow.original.source.is_ipv4() {
            NetfilterProtoFamily::IPv4
        } else {
            NetfilterProtoFamily::IPv6
        };
        let header = NetfilterHeader::new(family, 0, 0);
        let message = NetfilterMessage::new(header, ConntrackMessage::Delete(vec![key]));
        match socket.batch([(0, message)].into_iter()).map_err(|refused| refused.error) {
            Ok(()) => forgotten += 1,
            // It ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}
