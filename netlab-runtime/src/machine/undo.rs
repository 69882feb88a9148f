//! How a change is undone: data that says all that is needed, and the doing.
//!
//! Invariant: an undo names one object, looks at it first, and leaves it if it is not as we left it. Invariant: what is undone
//! already, or was never done, is no error.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::firewall::{self, Program, Removed};
use super::ground::{Ground, inside};
use super::nic::{self, Link, Nic, UP};
use super::raw::{self, ADDRESS, LINK, ROUTE, Raw, integer, request};
use super::sysctl::{self, Forwarding};
use super::{journal, pins, restore};

/// How one change is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub(super) enum Undo {
    /// A link that was added: it is the one that has all three. A bridge that takes an interface over has another MAC address
    /// from then on.
    Link { index: u32, name: String, macs: Vec<String> },
    /// A sysctl.
    Sysctl { key: String, was: String, set: String },
    /// Forwarding.
    Forwarding(Forwarding),
    /// An interface of the machine that was set up.
    Up { index: u32, name: String },
    /// An address that was added to an interface of the machine.
    Address { index: u32, name: String, address: IpNet },
    /// A route that was added to an interface of the machine.
    Route { index: u32, name: String, destination: IpNet, via: Option<IpAddr> },
    /// An interface of the machine that was moved into the namespace pinned there, where it has this index.
    TakenNic { pin: PathBuf, index: u32, nic: Nic },
    /// An interface of the machine that was made a port of a bridge.
    PluggedNic { bridge: u32, bridge_name: String, takeover: bool, nic: Nic },
    /// A macvlan on an interface of the machine, in the namespace pinned there.
    Macvlan { pin: PathBuf, index: u32, name: String },
    /// A rule in a chain of iptables.
    Rule { program: Program, table: String, chain: String, rule: String },
    /// A chain of iptables, and the jump to it.
    Chain { program: Program, table: String, built_in: String, chain: String },
}

/// Why something was not undone.
#[derive(Debug)]
pub(super) enum Why {
    /// Somebody else changed it.
    Changed(String),
    /// It could not be.
    Failed(String),
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A change of the machine that was not undone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "something was left on the machine"]
pub struct Left {
    /// The operation, as the equivalent command.
    pub what: String,
    /// Why it was not undone.
    pub why: String,
    /// Whether it is worth another try: the journal is kept for it. Otherwise somebody else changed the object, whose it is
    /// now.
    pub again: bool,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.what)?;
        if self.again {
            write!(f, "could not be undone: {}", self.why)
        } else {
            write!(f, "was left, since somebody else changed it: {}", self.why)
        }
    }
}

/// Undoes what a journal has, the last first. Everything is tried; what is left is told, and what is undone is noted.
pub(super) fn all(journal: &mut File, ground: &mut Ground) -> Vec<Left> {
    let contents = match journal::read(journal) {
        Ok(Some(contents)) => contents,
        Ok(None) => return Vec::new(),
        Err(error) => {
            return vec![Left { what: "the journal".to_owned(), why: error.to_string(), again: true }];
        }
    };
    let mut left: Vec<_> = contents
        .damaged
        .iter()
        .map(|line| Left {
            what: format!("line {line} of the journal"),
            why: "it is damaged, and what it undoes is not known".to_owned(),
            again: false,
        })
        .collect();
    for (number, change) in contents.changes.into_iter().enumerate().rev() {
        if contents.undone.contains(&number) {
            continue;
        }
        let why = match change.undo.carry_out(ground) {
            Ok(()) => None,
            Err(Why::Changed(why)) => Some((why, false)),
            Err(Why::Failed(why)) => Some((why, true)),
        };
        let again = matches!(why, Some((_, true)));
        if let Some((why, again)) = why {
            left.push(Left { what: change.what, why, again });
        }
        if !again && let Err(error) = journal::add_undone(journal, number) {
            left.push(Left { what: "the journal".to_owned(), why: error.to_string(), again: true });
        }
    }
    left
}

impl Undo {
    /// Undoes it. The calling thread is on the ground, which is the machine.
    pub(super) fn carry_out(&self, ground: &mut Ground) -> Result<(), Why> {
        match self {
            Self::Link { index, name, macs } => delete_link(ground, *index, name, Some(macs)),
            Self::Sysctl { key, was, set } => sysctl::restore(key, was, set),
            Self::Forwarding(forwarding) => forwarding.restore(),
            Self::Up { index, name } => match own(ground, *index, name)? {
                Some(_) => Ok(nic::set_flags(&mut ground.socket, *index, 0, UP)?),
                None => Ok(()),
            },
            Self::Address { index, name, address } => remove_address(ground, *index, name, *address),
            Self::Route { index, name, destination, via } => {
                remove_route(ground, *index, name, *destination, *via)
            }
            Self::TakenNic { pin, index, nic } => return_nic(ground, pin, *index, nic),
            Self::PluggedNic { bridge, bridge_name, takeover, nic } => {
                unplug_nic(ground, *bridge, bridge_name, *takeover, nic)
            }
            Self::Macvlan { pin, index, name } => match pins::open(pin)? {
                Some(net) => {
                    let mut result = Ok(());
                    inside(net.as_fd(), |there| {
                        result = delete_link(there, *index, name, None);
                        Ok(())
                    })?;
                    result
                }
                None => Ok(()),
            },
            Self::Rule { program, table, chain, rule } => {
                removed(firewall::remove_rule(program, table, chain, rule)?)
            }
            Self::Chain { program, table, built_in, chain } => {
                removed(firewall::remove_chain(program, table, built_in, chain)?)
            }
        }
    }
}

fn removed(removed: Removed) -> Result<(), Why> {
    match removed {
        Removed::Gone => Ok(()),
        Removed::Left(why) => Err(Why::Changed(why)),
    }
}

/// An interface of the machine; nothing if it is gone.
fn own(ground: &mut Ground, index: u32, name: &str) -> Result<Option<Link>, Why> {
    match nic::link(&mut ground.socket, index)? {
        Some(link) if link.name != name => Err(Why::Changed(format!(
            "the interface with the index {index} is `{}` now, not `{name}`",
            link.name
        ))),
        link => Ok(link),
    }
}

fn delete_link(ground: &mut Ground, index: u32, name: &str, macs: Option<&[String]>) -> Result<(), Why> {
    let Some(link) = nic::link(&mut ground.socket, index)? else { return Ok(()) };
    let same_mac = macs.is_none_or(|macs| macs.contains(&link.mac_text()));
    match (link.name == name, same_mac) {
        (true, true) => {}
        // Another one altogether, which got the index: ours is gone, or never was.
        (false, false) => return Ok(()),
        (true, false) => return Err(Why::Changed(format!("its MAC address is {} now", link.mac_text()))),
        (false, true) => return Err(Why::Changed(format!("its name is `{}` now", link.name))),
    }
    match request(&mut ground.socket, 0, Raw::new(libc::RTM_DELLINK, LINK).set(4, index)) {
        // The other end of its wire went just now.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        done => Ok(done?),
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

/// Whether a message tells of this address: with this prefix, or with any.
pub(super) fn is_address(message: &Raw, addr: IpAddr) -> bool {
    let own =
        message.attribute(ADDRESS, libc::IFA_LOCAL).or_else(|| message.attribute(ADDRESS, libc::IFA_ADDRESS));
    own.and_then(raw::ip) == Some(addr)
}

fn remove_address(ground: &mut Ground, index: u32, name: &str, address: IpNet) -> Result<(), Why> {
    if own(ground, index, name)?.is_none() {
        return Ok(());
    }
    let addresses = nic::addresses(&mut ground.socket, index)?;
    let Some(found) = addresses.into_iter().find(|message| is_address(message, address.addr())) else {
        return Ok(());
    };
    if found.bytes[1] != address.prefix_len() {
        return Err(Why::Changed(format!("its prefix has {} bits now", found.bytes[1])));
    }
    Ok(request(&mut ground.socket, 0, Raw { kind: libc::RTM_DELADDR, ..found })?)
}

/// Whether a message tells of a route of the main table to this destination, the metric left to the kernel.
pub(super) fn is_route(message: &Raw, destination: IpNet) -> bool {
    /// `RT_TABLE_MAIN`, and the metric that IPv6 has by itself (`IP6_RT_PRIO_USER`).
    const MAIN: u32 = 254;
    const BY_ITSELF: u32 = 1024;
    let number = |kind| message.attribute(ROUTE, kind).and_then(integer);
    let to = message.attribute(ROUTE, libc::RTA_DST).and_then(raw::ip);
    let network = destination.trunc();
    let family = if network.addr().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    i32::from(message.bytes[0]) == family
        && message.bytes[1] == network.prefix_len()
        && (to == Some(network.addr()) || to.is_none() && network.prefix_len() == 0)
        && number(libc::RTA_TABLE).unwrap_or(u32::from(message.bytes[4])) == MAIN
        && matches!(number(libc::RTA_PRIORITY), None | Some(0 | BY_ITSELF))
}

fn remove_route(
    ground: &mut Ground,
    index: u32,
    name: &str,
    destination: IpNet,
    via: Option<IpAddr>,
) -> Result<(), Why> {
    if own(ground, index, name)?.is_none() {
        return Ok(());
    }
    let routes = nic::routes(&mut ground.socket, 0)?;
    let Some(found) = routes.into_iter().find(|message| is_route(message, destination)) else {
        return Ok(());
    };
    let leads = found.attribute(ROUTE, libc::RTA_OIF).and_then(integer);
    let hop = found.attribute(ROUTE, libc::RTA_GATEWAY).and_then(raw::ip);
    if leads != Some(index) || hop != via {
        let hop = hop.map_or_else(|| "no next hop".to_owned(), |hop| format!("the next hop {hop}"));
        return Err(Why::Changed(format!("it has {hop} now, through the interface {}", leads.unwrap_or(0))));
    }
    let mut message =
        Raw::new(libc::RTM_DELROUTE, ROUTE).with(libc::RTA_DST, &octets(destination.trunc().addr()));
    message.bytes[..ROUTE].copy_from_slice(&found.bytes[..ROUTE]);
    message.put(8, 0);
    let mut message = message.with(libc::RTA_OIF, &index.to_ne_bytes());
    if let Some(via) = via {
        message = message.with(libc::RTA_GATEWAY, &octets(via));
    }
    Ok(request(&mut ground.socket, 0, message)?)
}

/// Has an interface come back, and makes it what it was.
fn return_nic(ground: &mut Ground, pin: &std::path::Path, index: u32, nic: &Nic) -> Result<(), Why> {
    let home = &mut ground.socket;
    let away = match pins::open(pin)? {
        Some(there) => {
            let net = ground.net.as_fd();
            inside(there.as_fd(), |there| {
                let Some(link) = find_away(there, index, nic)? else { return Ok(None) };
                let name = &nic.link.name;
                nic::set_flags(&mut there.socket, link.index, 0, UP)?;
                let moved = match nic::send_to(&mut there.socket, link.index, net, name, nic.link.index) {
                    // Somebody has the index.
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        nic::send_to(&mut there.socket, link.index, net, name, link.index)
                    }
                    moved => moved,
                };
                Ok(Some(moved))
            })?
        }
        None => None,
    };
    if let Some(Err(error)) = away {
        let name = &nic.link.name;
        return Err(Why::Failed(match error.raw_os_error() {
            Some(libc::EEXIST) => {
                format!("another interface is called `{name}` now; rename it, and try again")
            }
            _ => format!("`{name}` could not be moved back: {error}"),
        }));
    }
    // Moved now, by an earlier try, by the kernel when the namespace ended, or never away.
    let here = nic::links(home)?.into_iter().find(|link| {
        link.name == nic.link.name
            && (away.is_some() || link.mac == nic.link.mac || link.index == nic.link.index)
    });
    let Some(here) = here else {
        return Err(Why::Changed(format!(
            "`{}` is neither where it was moved to nor on the machine: somebody moved, renamed or deleted it",
            nic.link.name
        )));
    };
    restored(&restore::restore(home, here.index, nic), &nic.link, here.index)
}

fn restored(problems: &[String], was: &Link, index: u32) -> Result<(), Why> {
    if !problems.is_empty() {
        return Err(Why::Failed(format!(
            "`{}` is back, but not all of it: {}",
            was.name,
            problems.join("; ")
        )));
    }
    if index != was.index {
        return Err(Why::Changed(format!(
            "`{}` is back as it was but for its index, which is {index} now: {} was given away meanwhile",
            was.name, was.index
        )));
    }
    Ok(())
}

/// The interface in the namespace that it was moved to: by the index that it got there, or as what else it is known by.
fn find_away(there: &mut Ground, index: u32, nic: &Nic) -> io::Result<Option<Link>> {
    let links = nic::links(&mut there.socket)?;
    let is = |link: &&Link| link.name == nic.link.name || link.mac == nic.link.mac && !link.mac.0.is_empty();
    // A test may have changed all else.
    let by_index = links.iter().find(|link| link.index == index && link.kind == nic.link.kind);
    Ok(by_index.or_else(|| links.iter().find(is)).cloned())
}

/// Has an interface no longer be a port, and makes it what it was.
fn unplug_nic(
    ground: &mut Ground,
    bridge: u32,
    bridge_name: &str,
    takeover: bool,
    nic: &Nic,
) -> Result<(), Why> {
    let index = nic.link.index;
    let Some(now) = own(ground, index, &nic.link.name)? else {
        return Err(Why::Changed(format!("`{}` is gone", nic.link.name)));
    };
    if now.master != bridge && now.master != nic.link.master {
        return Err(Why::Changed(format!("`{}` is a port of another bridge now", nic.link.name)));
    }
    if takeover && nic::link(&mut ground.socket, bridge)?.is_some_and(|link| link.name == bridge_name) {
        for route in nic::taken_over_routes(nic, bridge) {
            gone(request(
                &mut ground.socket,
                0,
                Raw { kind: libc::RTM_DELROUTE, ..restore::as_request(&route) },
            ))?;
        }
        for address in nic::taken_over_addresses(nic, bridge, bridge_name) {
            gone(request(&mut ground.socket, 0, Raw { kind: libc::RTM_DELADDR, ..address }))?;
        }
    }
    restored(&restore::restore(&mut ground.socket, index, nic), &nic.link, index)
}

/// That it is gone already is as well.
fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENODEV)) =>
        {
            Ok(())
        }
        done => done,
    }
}
