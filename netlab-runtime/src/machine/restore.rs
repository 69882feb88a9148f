//! An interface made what it was.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::identity::uptime;
use super::nic::{self, IFLA_ALT_IFNAME, IFLA_PROP_LIST, Link, Nic, UP, change, with_interface};
use super::raw::{self, ADDRESS, LINK, NEIGHBOUR, ROUTE, Raw, integer, request, terminated};
use crate::kernel::{NetlinkSocket, Sysctls};

/// How long addresses may stay tentative. Duplicates are looked for no longer than a second or two (RFC 4862).
const PATIENCE: Duration = Duration::from_secs(5);

/// `RTNLGRP_IPV6_IFADDR`, include/uapi/linux/rtnetlink.h.
const IPV6_ADDRESS_EVENTS: u32 = 9;

/// The flags that people set (`dev_change_flags`), but for that of being up.
const FLAGS: u32 = (libc::IFF_PROMISC
    | libc::IFF_ALLMULTI
    | libc::IFF_NOARP
    | libc::IFF_MULTICAST
    | libc::IFF_DYNAMIC
    | libc::IFF_DEBUG
    | libc::IFF_NOTRAILERS) as u32;

/// Gives the interface `index` of the socket's namespace, where the calling thread is, all that `nic` had. What could not be is
/// told; one failure stops nothing else.
pub(super) fn restore(socket: &mut NetlinkSocket, index: u32, nic: &Nic) -> Vec<String> {
    let mut work = Work { socket, index, nic, problems: Vec::new() };
    work.run();
    work.problems
}

struct Work<'a> {
    socket: &'a mut NetlinkSocket,
    index: u32,
    nic: &'a Nic,
    problems: Vec<String>,
}

impl Work<'_> {
    fn run(&mut self) {
        let index = self.index;
        let now = match nic::link(self.socket, index) {
            Ok(Some(now)) => now,
            Ok(None) => return self.problems.push(format!("no interface has the index {index}")),
            Err(error) => return self.problems.push(format!("links could not be read: {error}")),
        };
        self.link(&now);
        let looked_for = self.look_for_no_duplicates();
        self.sysctls(|key| !key.ends_with(".accept_dad"));
        self.flags(&now);
        self.addresses();
        let settled = settle(self.socket, index);
        self.note("its addresses", settled);
        self.routes();
        self.neighbours();
        if looked_for {
            self.sysctls(|key| key.ends_with(".accept_dad"));
        }
    }

    fn note<T>(&mut self, what: &str, done: io::Result<T>) {
        if let Err(error) = done {
            self.problems.push(format!("{what}: {error}"));
        }
    }

    fn link(&mut self, now: &Link) {
        let (index, was) = (self.index, &self.nic.link);
        let mut ask = |what: &str, message: Raw| {
            let done = request(self.socket, 0, message);
            if let Err(error) = done {
                self.problems.push(format!("{what}: {error}"));
            }
        };
        if now.master != was.master {
            ask("its master", change(index).with(libc::IFLA_MASTER, &was.master.to_ne_bytes()));
        }
        if now.mac != was.mac {
            ask("its MAC address", change(index).with(libc::IFLA_ADDRESS, &was.mac.0));
        }
        if now.mtu != was.mtu {
            ask("its MTU", change(index).with(libc::IFLA_MTU, &was.mtu.to_ne_bytes()));
        }
        if now.queue != was.queue {
            ask("its queue's length", change(index).with(libc::IFLA_TXQLEN, &was.queue.to_ne_bytes()));
        }
        if now.alias != was.alias {
            // An empty one takes it away.
            ask("its alias", change(index).with(libc::IFLA_IFALIAS, was.alias.as_bytes()));
        }
        for (kind, flags, from, without) in
            [(RTM_DELLINKPROP, 0, now, was), (RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, was, now)]
        {
            for name in from.other_names.iter().filter(|name| !without.other_names.contains(name)) {
                let mut list = Vec::new();
                raw::push(&mut list, IFLA_ALT_IFNAME, &terminated(name));
                let message = Raw::new(kind, LINK).set(4, index).with(IFLA_PROP_LIST | NESTED, &list);
                let done = request(self.socket, flags, message);
                if let Err(error) = done {
                    self.problems.push(format!("its other name `{name}`: {error}"));
                }
            }
        }
        if let Some(mode) = was.gen_mode
            && now.gen_mode != was.gen_mode
        {
            let done = nic::set_gen_mode(self.socket, index, mode);
            self.note("how it comes by link-local addresses", done);
        }
    }

    /// Duplicate addresses were looked for when it got its addresses at first: it need not be done again, while routes wait.
    fn look_for_no_duplicates(&mut self) -> bool {
        let mut sysctls = Sysctls::default();
        let keys = self.nic.sysctls.keys().filter(|key| key.ends_with(".accept_dad"));
        let mut found = false;
        for key in keys {
            found = true;
            if let Err(error) = sysctls.write(key, "0") {
                self.problems.push(format!("`{key}`: {error}"));
            }
        }
        found
    }

    fn sysctls(&mut self, which: impl Fn(&str) -> bool) {
        let mut sysctls = Sysctls::default();
        // What sets others along with it comes first: IPv6 as a whole, then the MTU of it.
        let (first, rest): (Vec<_>, Vec<_>) = self
            .nic
            .sysctls
            .iter()
            .filter(|(key, _)| which(key))
            .partition(|(key, _)| key.ends_with(".disable_ipv6"));
        for (key, was) in first.into_iter().chain(rest) {
            if sysctls.read(key).is_ok_and(|now| now == *was) {
                continue;
            }
            if let Err(error) = sysctls.write(key, was) {
                // The kernel's own counters of secrets and the like are there to be read only.
                if error.kind() != io::ErrorKind::PermissionDenied {
                    self.problems.push(format!("`{key}={was}`: {error}"));
                }
            }
        }
    }

    fn flags(&mut self, now: &Link) {
        let was = self.nic.link.flags;
        let mask = ((now.flags ^ was) & (FLAGS | UP)) | UP;
        let done = nic::set_flags(self.socket, self.index, was, mask);
        self.note("its flags", done);
    }

    fn addresses(&mut self) {
        let elapsed = match uptime() {
            Ok(now) => now.saturating_sub(self.nic.at),
            Err(error) => return self.note("its addresses", Err::<(), _>(error)),
        };
        let (v4, mut v6): (Vec<_>, Vec<_>) =
            self.nic.addresses().partition(|address| i32::from(address.bytes[0]) == libc::AF_INET);
        // The kernel puts a new one before those that it had of the same scope (`ipv6_link_dev_addr`).
        v6.reverse();
        let wanted: Vec<_> = v4.into_iter().chain(v6).collect();
        let now = match nic::addresses(self.socket, self.index) {
            Ok(now) => now,
            Err(error) => return self.note("its addresses", Err::<(), _>(error)),
        };
        for address in now.iter().filter(|now| !wanted.iter().any(|wanted| same_address(wanted, now))) {
            let message = Raw { kind: libc::RTM_DELADDR, ..address.clone() };
            let done = request(self.socket, 0, message);
            self.note("an address it had not", done);
        }
        for address in wanted {
            let Some(address) = aged(&address, elapsed) else { continue };
            let what = format!("its address {}", address_text(&address));
            let done = nic::add(self.socket, address.set(4, self.index));
            self.note(&what, done);
        }
    }

    fn routes(&mut self) {
        let now = match nic::routes(self.socket, self.index) {
            Ok(now) => now.into_iter().filter(|route| !comes_with_an_address(route)).collect::<Vec<_>>(),
            Err(error) => return self.note("its routes", Err::<(), _>(error)),
        };
        let wanted: Vec<_> = self
            .nic
            .routes()
            .filter(|route| !comes_with_an_address(route))
            .map(|route| with_interface(&route, self.nic.link.index, self.index))
            .collect();
        for route in now.iter().filter(|now| !wanted.iter().any(|wanted| essence(wanted) == essence(now))) {
            let message = Raw { kind: libc::RTM_DELROUTE, ..route.clone() };
            match request(self.socket, 0, message) {
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                    self.problems.push(format!("a route it had not: {error}"));
                }
                _ => {}
            }
        }
        let missing = wanted
            .into_iter()
            .filter(|wanted| !now.iter().any(|now| essence(wanted) == essence(now)))
            .collect();
        if let Err((route, error)) = add_routes(self.socket, missing) {
            self.problems.push(format!("its route {}: {error}", route_text(&route)));
        }
    }

    fn neighbours(&mut self) {
        for bytes in &self.nic.neighbours {
            let neighbour = Raw::of(libc::RTM_NEWNEIGH, bytes)
                .map(NEIGHBOUR, |kind, value| {
                    matches!(kind, libc::NDA_DST | libc::NDA_LLADDR).then(|| value.to_vec())
                })
                .set(4, self.index);
            let done = request(self.socket, NLM_F_CREATE | NLM_F_REPLACE, neighbour);
            self.note("a neighbour", done);
        }
    }
}

/// Of include/uapi/linux/rtnetlink.h.
const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;

/// Whether the kernel makes a route with an address or when an interface is set up, in its own time: those of the table `local`
/// (`fib_add_ifaddr`, `addrconf_dad_completed`).
fn comes_with_an_address(route: &Raw) -> bool {
    nic::is_kernels(route) && route.bytes[7] != libc::RTN_UNICAST
}

/// `NLA_F_NESTED`, include/uapi/linux/netlink.h.
const NESTED: u16 = 0x8000;

/// `RTNH_F_ONLINK` and `RTNH_F_PERVASIVE` of `RTNH_F_*`, include/uapi/linux/rtnetlink.h: the others tell what the kernel found.
const HOP_FLAGS: u32 = 4 | 2;

/// Waits until no IPv6 address of an interface is tentative: routes may ask for one as their source only then.
pub(super) fn settle(socket: &mut NetlinkSocket, index: u32) -> io::Result<()> {
    socket.subscribe(IPV6_ADDRESS_EVENTS)?;
    let deadline = Instant::now() + PATIENCE;
    let settled = loop {
        match is_settled(socket, index) {
            Ok(false) => {}
            Ok(true) => break Ok(()),
            Err(error) => break Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Err(io::Error::new(io::ErrorKind::TimedOut, "one of its addresses stayed tentative"));
        }
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => break Err(error.into()),
        }
        if let Err(error) = socket.collect::<Raw>(&mut Vec::new()) {
            break Err(error);
        }
    };
    socket.unsubscribe(IPV6_ADDRESS_EVENTS)?;
    settled
}

fn is_settled(socket: &mut NetlinkSocket, index: u32) -> io::Result<bool> {
    /// `IFA_F_TENTATIVE`, and `IFA_F_DADFAILED`, with which it stays so.
    const TENTATIVE: u32 = 0x40;
    const FAILED: u32 = 0x08;
    // Where it is down, nothing settles.
    if nic::link(socket, index)?.is_none_or(|link| link.flags & UP == 0) {
        return Ok(true);
    }
    let addresses = nic::addresses(socket, index)?;
    Ok(addresses.iter().all(|address| {
        let flags = address.attribute(ADDRESS, libc::IFA_FLAGS).and_then(integer).unwrap_or(0);
        flags & (TENTATIVE | FAILED) != TENTATIVE
    }))
}

/// Adds routes in an order that works: one whose next hop needs another of them comes after it.
pub(super) fn add_routes(socket: &mut NetlinkSocket, mut routes: Vec<Raw>) -> Result<(), (Raw, io::Error)> {
    while !routes.is_empty() {
        let before = routes.len();
        let mut refused = Vec::new();
        let mut last = None;
        for route in routes {
            match add_route(socket, &route) {
                Ok(()) => {}
                Err(error) => {
                    last = Some((route.clone(), error));
                    refused.push(route);
                }
            }
        }
        match last {
            Some(last) if refused.len() == before => return Err(last),
            _ => routes = refused,
        }
    }
    Ok(())
}

fn add_route(socket: &mut NetlinkSocket, route: &Raw) -> io::Result<()> {
    let message = as_request(route);
    match request(socket, NLM_F_CREATE | NLM_F_EXCL, message.clone()) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            // Of a route with several next hops the others may be there still.
            if route.attribute(ROUTE, libc::RTA_MULTIPATH).is_some() {
                return request(socket, NLM_F_CREATE | NLM_F_REPLACE, message);
            }
            Ok(())
        }
        done => done,
    }
}

/// A route as it was told, so that it can be asked for.
pub(super) fn as_request(route: &Raw) -> Raw {
    /// `RTA_EXPIRES`, in seconds.
    const EXPIRES: u16 = 23;
    /// `USER_HZ`, in which `rta_expires` of `struct rta_cacheinfo` counts.
    const TICKS: u32 = 100;
    let expires = route.attribute(ROUTE, libc::RTA_CACHEINFO).and_then(|info| integer(info.get(8..)?));
    let request = essence(route);
    match expires {
        // Negative if it is past.
        Some(ticks @ 1..0x8000_0000) => request.with(EXPIRES, &ticks.div_ceil(TICKS).to_ne_bytes()),
        _ => request,
    }
}

/// A route without what changes by itself.
fn essence(route: &Raw) -> Raw {
    const EXPIRES: u16 = 23;
    let bare = route.map(ROUTE, |kind, value| {
        let mut value = value.to_vec();
        match kind {
            libc::RTA_CACHEINFO | EXPIRES => return None,
            libc::RTA_MULTIPATH => {
                for at in nic::hops_of(&value) {
                    value[at + 2] &= HOP_FLAGS as u8;
                }
            }
            _ => {}
        }
        Some(value)
    });
    let flags = bare.get(8);
    bare.set(8, flags & HOP_FLAGS)
}

/// An address so many seconds later; nothing if its time is over.
fn aged(address: &Raw, seconds: u64) -> Option<Raw> {
    let info = address.attribute(ADDRESS, libc::IFA_CACHEINFO);
    let valid = info.and_then(|info| integer(info.get(4..)?)).unwrap_or(u32::MAX);
    let later = |lifetime: u32| match lifetime {
        u32::MAX => u32::MAX,
        lifetime => lifetime.saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX)),
    };
    if later(valid) == 0 {
        return None;
    }
    Some(address.map(ADDRESS, |kind, value| {
        let mut value = value.to_vec();
        if kind == libc::IFA_CACHEINFO && value.len() >= 8 {
            for at in [0, 4] {
                let lifetime = later(integer(&value[at..]).unwrap_or(u32::MAX));
                value[at..at + 4].copy_from_slice(&lifetime.to_ne_bytes());
            }
        }
        Some(value)
    }))
}

/// Whether both are the same address with the same prefix: an interface has no more than one of each.
fn same_address(one: &Raw, other: &Raw) -> bool {
    let key = |address: &Raw| {
        let own = |kind| address.attribute(ADDRESS, kind).map(<[u8]>::to_vec);
        (address.bytes[0], address.bytes[1], own(libc::IFA_ADDRESS), own(libc::IFA_LOCAL))
    };
    key(one) == key(other)
}

/// An address as people write it.
pub(super) fn address_text(address: &Raw) -> String {
    let local =
        address.attribute(ADDRESS, libc::IFA_LOCAL).or_else(|| address.attribute(ADDRESS, libc::IFA_ADDRESS));
    let addr = local.and_then(raw::ip).map_or_else(|| "?".to_owned(), |addr| addr.to_string());
    format!("{addr}/{}", address.bytes[1])
}

/// A route's destination as people write it.
pub(super) fn route_text(route: &Raw) -> String {
    match route.attribute(ROUTE, libc::RTA_DST).and_then(raw::ip) {
        Some(addr) => format!("{addr}/{}", route.bytes[1]),
        None => "default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(preferred: u32, valid: u32) -> Raw {
        let info = [preferred, valid, 0, 0].map(u32::to_ne_bytes).concat();
        Raw::new(libc::RTM_NEWADDR, ADDRESS)
            .with(libc::IFA_LOCAL, &[10, 0, 0, 1])
            .with(libc::IFA_CACHEINFO, &info)
    }

    #[test]
    fn lifetimes_go_on_meanwhile() {
        assert_eq!(aged(&address(10, 20), 5), Some(address(5, 15)));
        assert_eq!(aged(&address(10, 20), 15), Some(address(0, 5)));
        assert_eq!(aged(&address(10, 20), 20), None);
        assert_eq!(aged(&address(u32::MAX, u32::MAX), 1 << 40), Some(address(u32::MAX, u32::MAX)));
    }

    #[test]
    fn what_the_kernel_found_is_not_asked_for() {
        let mut told = Raw::new(libc::RTM_NEWROUTE, ROUTE).with(libc::RTA_OIF, &[3, 0, 0, 0]);
        let plain = told.clone();
        // `RTNH_F_LINKDOWN`.
        told.put(8, 16);
        let info = [0, 0, 250, 0, 0, 0, 0].map(u32::to_ne_bytes).concat();
        let told = told.with(libc::RTA_CACHEINFO, &info);
        assert_eq!(essence(&told), plain);
        assert_eq!(as_request(&told), plain.with(23, &[3, 0, 0, 0]));
    }
}
