//! Changes to a lab that stands, as handles ask for them.

use std::io;

use ipnet::IpNet;
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use nix::errno::Errno;

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

/// Whether an interface looks for neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arp {
    On,
    Off,
}

/// Has interfaces of the socket's namespace forget their neighbours, and says whether they are to learn any again: the change of
/// `IFF_NOARP` is what makes the kernel drop them, of IPv4 and IPv6 (`arp_netdev_event`, `ndisc_netdev_event`).
///
/// An interface that is not there has none.
pub(crate) fn forget_neighbours(
    socket: &mut NetlinkSocket,
    indexes: impl Iterator<Item = u32>,
    then: Arp,
) -> io::Result<()> {
    let set = |index, arp| {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = if arp == Arp::Off { LinkFlags::Noarp } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Noarp;
        (0, RouteNetlinkMessage::SetLink(message))
    };
    let settings: &[Arp] = if then == Arp::On { &[Arp::Off, Arp::On] } else { &[Arp::Off] };
    let messages: Vec<_> =
        indexes.flat_map(|index| settings.iter().map(move |&arp| set(index, arp))).collect();
    match socket.batch(messages.into_iter()).map_err(|refused| refused.error) {
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(()),
        done => done,
    }
}
