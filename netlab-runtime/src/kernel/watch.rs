//! Waits for interfaces to be up in operation (RFC 2863), in the kernel's own words `operstate UP`.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlab_topology::plan::Dev;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage, State};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rtnetlink::LinkUnspec;

use super::socket::NetlinkSocket;

/// `RTNLGRP_LINK`, `include/uapi/linux/rtnetlink.h`.
const LINK_EVENTS: u32 = 1;

/// How long an interface may take. The kernel's link watch runs within a second; a machine under load is slower.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `devices` are up, and gives the first that is not after the deadline.
///
/// Asking for a device by its index makes newer kernels catch up with its state at once (`rtnl_getlink` calls
/// `linkwatch_sync_dev` since 6.8); older ones tell by an event when they have. Subscribing comes before the second
/// look, so that no event falls between.
pub(super) fn wait_until_up<'a>(
    socket: &mut NetlinkSocket,
    devices: &[&'a Dev],
) -> io::Result<Option<&'a Dev>> {
    let mut pending = devices.to_vec();
    look(socket, &mut pending)?;
    if pending.is_empty() {
        return Ok(None);
    }
    socket.subscribe(LINK_EVENTS)?;
    let outcome = follow(socket, &mut pending);
    socket.unsubscribe(LINK_EVENTS)?;
    outcome?;
    Ok(pending.first().copied())
}

fn follow(socket: &mut NetlinkSocket, pending: &mut Vec<&Dev>) -> io::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    look(socket, pending)?;
    while !pending.is_empty() {
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
        match socket.collect(&mut events) {
            Ok(()) => strike(pending, &events),
            // Events were lost: look for oneself.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => look(socket, pending)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes those that are up off the list.
fn look(socket: &mut NetlinkSocket, pending: &mut Vec<&Dev>) -> io::Result<()> {
    let requests = pending.iter().map(|dev| RouteNetlinkMessage::GetLink(request(dev.index)));
    let answers = socket.ask(requests)?;
    strike(pending, &answers);
    Ok(())
}

fn request(index: u32) -> LinkMessage {
    // Without counters an answer is a third as long.
    let mask = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    LinkUnspec::new_with_index(index).append_extra_attribute(mask).build()
}

fn strike(pending: &mut Vec<&Dev>, messages: &[RouteNetlinkMessage]) {
    for message in messages {
        if let RouteNetlinkMessage::NewLink(link) = message
            && link.attributes.contains(&LinkAttribute::OperState(State::Up))
        {
            pending.retain(|dev| dev.index != link.header.index);
        }
    }
}
