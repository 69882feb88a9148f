//! Waits for interfaces to be up in operation (RFC 2863), in the kernel's own words `operstate UP`, and for addresses to
//! be usable.
//!
//! Looking comes first, since mostly there is nothing to wait for. Then subscribing comes before the second look, so that
//! no event falls between.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlab_topology::plan::Dev;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, State};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rtnetlink::LinkUnspec;

use super::calls::MadeBy;
use super::socket::NetlinkSocket;
use crate::settings;

/// `RTNLGRP_LINK` and `RTNLGRP_IPV6_IFADDR`, `include/uapi/linux/rtnetlink.h`.
const LINK_EVENTS: u32 = 1;
const IPV6_ADDRESS_EVENTS: u32 = 9;

/// How long it may take. The kernel's link watch runs within a second; a machine under load is slower.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `devices` are up, and gives the first that is not after the deadline.
///
/// Asking for a device by its index makes newer kernels catch up with its state at once (`rtnl_getlink` calls
/// `linkwatch_sync_dev` since 6.8); older ones tell by an event when they have.
pub(super) fn wait_until_up<'a>(
    socket: &mut NetlinkSocket,
    devices: &[&'a Dev],
    made_by: MadeBy,
) -> io::Result<Option<&'a Dev>> {
    let mut pending = devices.to_vec();
    wait(socket, LINK_EVENTS, |socket, events| {
        match events {
            Some(events) => strike(&mut pending, &events, made_by),
            None => {
                let requests = pending.iter().map(|dev| RouteNetlinkMessage::GetLink(by_index(dev.index)));
                let answers = socket.ask(requests)?;
                strike(&mut pending, &answers, made_by);
            }
        }
        Ok(pending.is_empty())
    })?;
    Ok(pending.first().copied())
}

/// Waits until no IPv6 address of the socket's namespace is tentative, or none of `these` devices, and gives one that is
/// after the deadline.
pub(super) fn wait_until_settled(
    socket: &mut NetlinkSocket,
    these: Option<&[u32]>,
) -> io::Result<Option<IpAddr>> {
    let mut tentative = None;
    wait(socket, IPV6_ADDRESS_EVENTS, |socket, _events| {
        tentative = first_tentative(socket, these)?;
        Ok(tentative.is_none())
    })?;
    Ok(tentative)
}

/// Calls `done` with nothing to have it look for itself, then with the events of a multicast group as they come, until
/// it says that there is nothing more to wait for, or the deadline is over.
fn wait(
    socket: &mut NetlinkSocket,
    group: u32,
    mut done: impl FnMut(&mut NetlinkSocket, Option<Vec<RouteNetlinkMessage>>) -> io::Result<bool>,
) -> io::Result<()> {
    if done(socket, None)? {
        return Ok(());
    }
    socket.subscribe(group)?;
    let outcome = follow(socket, done);
    socket.unsubscribe(group)?;
    outcome
}

fn follow(
    socket: &mut NetlinkSocket,
    mut done: impl FnMut(&mut NetlinkSocket, Option<Vec<RouteNetlinkMessage>>) -> io::Result<bool>,
) -> io::Result<()> {
    let deadline = Instant::now() + settings::scaled(DEADLINE);
    let mut finished = done(socket, None)?;
    while !finished {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = Vec::new();
        finished = match socket.collect(&mut events) {
            Ok(()) => done(socket, Some(events))?,
            // Events were lost.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => done(socket, None)?,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

fn by_index(index: u32) -> LinkMessage {
    // Without counters an answer is a third as long.
    let mask = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    LinkUnspec::new_with_index(index).append_extra_attribute(mask).build()
}

/// Takes those that are up off the list.
fn strike(pending: &mut Vec<&Dev>, messages: &[RouteNetlinkMessage], made_by: MadeBy) {
    for message in messages {
        if let RouteNetlinkMessage::NewLink(link) = message
            && is_up(link, made_by)
        {
            pending.retain(|dev| dev.index != link.header.index);
        }
    }
}

/// Whether it is up in operation. Drivers that know nothing of it leave it open for ever
/// (Documentation/networking/operstates.rst); what the lab makes knows, and is in that state only at first.
fn is_up(link: &LinkMessage, made_by: MadeBy) -> bool {
    let is = |state| link.attributes.contains(&LinkAttribute::OperState(state));
    let unknown = is(State::Unknown) && link.header.flags.contains(LinkFlags::Running);
    is(State::Up) || unknown && made_by == MadeBy::Others
}

fn first_tentative(socket: &mut NetlinkSocket, these: Option<&[u32]>) -> io::Result<Option<IpAddr>> {
    let messages = socket.dump(|| {
        let mut request = AddressMessage::default();
        request.header.family = AddressFamily::Inet6;
        RouteNetlinkMessage::GetAddress(request)
    })?;
    Ok(messages.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewAddress(message)
            if message.header.flags.contains(AddressHeaderFlags::Tentative)
                && these.is_none_or(|these| these.contains(&message.header.index)) =>
        {
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(addr) => Some(*addr),
                _ => None,
            })
        }
        _ => None,
    }))
}
