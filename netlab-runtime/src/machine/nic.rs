//! An interface of the machine: all that is lost when it is moved or plugged, and the moves.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use serde::{Deserialize, Serialize};

use super::identity::uptime;
use super::raw::{self, ADDRESS, Hex, LINK, NEIGHBOUR, ROUTE, Raw, integer, request, text};
use crate::kernel::{NetlinkSocket, Sysctls};

// Of linux/if_link.h and linux/if_addr.h, where libc has them not.
pub(super) const IFLA_PROP_LIST: u16 = 52;
pub(super) const IFLA_ALT_IFNAME: u16 = 53;
pub(super) const IFLA_NEW_IFINDEX: u16 = 49;
const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// No link-local address.
pub(super) const GEN_MODE_NONE: u8 = 1;

/// `IFF_UP`.
pub(super) const UP: u32 = libc::IFF_UP as u32;

/// A link as the kernel tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mac: Hex,
    pub(super) mtu: u32,
    pub(super) queue: u32,
    pub(super) flags: u32,
    pub(super) master: u32,
    /// What makes it: `veth`, ...; nothing for hardware.
    pub(super) kind: String,
    pub(super) alias: String,
    pub(super) other_names: Vec<String>,
    /// How it comes by link-local addresses; none without IPv6.
    pub(super) gen_mode: Option<u8>,
}

/// An interface with all that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nic {
    pub(super) link: Link,
    /// `RTM_NEWADDR`, in the kernel's order.
    pub(super) addresses: Vec<Hex>,
    /// `RTM_NEWROUTE` of every table.
    pub(super) routes: Vec<Hex>,
    /// `RTM_NEWNEIGH`, those that somebody set.
    pub(super) neighbours: Vec<Hex>,
    /// Sysctls of its own.
    pub(super) sysctls: BTreeMap<String, String>,
    /// For how long the machine had been up when it was looked at: lifetimes run on.
    pub(super) at: u64,
}

impl Link {
    fn parse(message: &Raw) -> Self {
        let get = |kind| message.attribute(LINK, kind);
        let number = |kind| get(kind).and_then(integer).unwrap_or(0);
        let words = |kind| get(kind).map(text).unwrap_or_default();
        let other_names = get(IFLA_PROP_LIST).map(|list| {
            raw::attributes(list)
                .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
                .map(|(_, name)| text(name))
                .collect()
        });
        let inet6 = get(libc::IFLA_AF_SPEC).and_then(|families| {
            raw::attributes(families).find(|(family, _)| i32::from(*family) == libc::AF_INET6)
        });
        let gen_mode = inet6.and_then(|(_, values)| {
            let mode = raw::attributes(values).find(|(kind, _)| *kind == IFLA_INET6_ADDR_GEN_MODE);
            mode.and_then(|(_, mode)| mode.first().copied())
        });
        let kind = get(libc::IFLA_LINKINFO).and_then(|info| {
            raw::attributes(info).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND).map(|(_, kind)| text(kind))
        });
        Self {
            index: message.get(4),
            name: words(libc::IFLA_IFNAME),
            mac: Hex(get(libc::IFLA_ADDRESS).unwrap_or_default().to_vec()),
            mtu: number(libc::IFLA_MTU),
            queue: number(libc::IFLA_TXQLEN),
            flags: message.get(8),
            master: number(libc::IFLA_MASTER),
            kind: kind.unwrap_or_default(),
            alias: words(libc::IFLA_IFALIAS),
            other_names: other_names.unwrap_or_default(),
            gen_mode,
        }
    }

    /// Its hardware address as people write it.
    pub(super) fn mac_text(&self) -> String {
        let bytes: Vec<_> = self.mac.0.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(":")
    }
}

/// All links of the socket's namespace.
pub(super) fn links(socket: &mut NetlinkSocket) -> io::Result<Vec<Link>> {
    Ok(raw::dump(socket, libc::RTM_GETLINK, LINK)?.iter().map(Link::parse).collect())
}

/// The link with an index.
pub(super) fn link(socket: &mut NetlinkSocket, index: u32) -> io::Result<Option<Link>> {
    Ok(links(socket)?.into_iter().find(|link| link.index == index))
}

/// The addresses of an interface, or of all for 0.
pub(super) fn addresses(socket: &mut NetlinkSocket, index: u32) -> io::Result<Vec<Raw>> {
    let mut addresses = raw::dump(socket, libc::RTM_GETADDR, ADDRESS)?;
    addresses.retain(|address| index == 0 || address.get(4) == index);
    Ok(addresses)
}

/// The routes of every table that lead through an interface, or all for 0.
pub(super) fn routes(socket: &mut NetlinkSocket, index: u32) -> io::Result<Vec<Raw>> {
    let mut routes = raw::dump(socket, libc::RTM_GETROUTE, ROUTE)?;
    // Cached ones (`RTM_F_CLONED`) are no configuration.
    routes.retain(|route| route.get(8) & 0x200 == 0 && (index == 0 || leads_through(route, index)));
    Ok(routes)
}

fn leads_through(route: &Raw, index: u32) -> bool {
    route.attribute(ROUTE, libc::RTA_OIF).and_then(integer) == Some(index)
        || route
            .attribute(ROUTE, libc::RTA_MULTIPATH)
            .is_some_and(|hops| hops_of(hops).iter().any(|&at| integer(&hops[at + 4..]) == Some(index)))
}

/// Where each `struct rtnexthop` begins.
pub(super) fn hops_of(hops: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(length) = hops.get(at..at + 2).and_then(<[u8]>::first_chunk) {
        let length = usize::from(u16::from_ne_bytes(*length));
        if length < 8 || at + 8 > hops.len() {
            break;
        }
        starts.push(at);
        at += length.next_multiple_of(4);
    }
    starts
}

/// Neighbours that are set for good (`NUD_PERMANENT`), and not by the kernel.
pub(super) fn neighbours(socket: &mut NetlinkSocket, index: u32) -> io::Result<Vec<Raw>> {
    const PERMANENT: u16 = 0x80;
    let mut neighbours = raw::dump(socket, libc::RTM_GETNEIGH, NEIGHBOUR)?;
    neighbours.retain(|neighbour| {
        let family = i32::from(neighbour.bytes[0]);
        let state = u16::from_ne_bytes([neighbour.bytes[8], neighbour.bytes[9]]);
        neighbour.get(4) == index
            && state & PERMANENT != 0
            && (family == libc::AF_INET || family == libc::AF_INET6)
    });
    Ok(neighbours)
}

impl Nic {
    /// Looks at an interface. The calling thread is in the socket's namespace.
    pub(super) fn look(socket: &mut NetlinkSocket, index: u32) -> io::Result<Option<Self>> {
        let Some(link) = link(socket, index)? else { return Ok(None) };
        let hex = |raws: Vec<Raw>| raws.into_iter().map(|raw| Hex(raw.bytes)).collect();
        Ok(Some(Self {
            addresses: hex(addresses(socket, index)?),
            routes: hex(routes(socket, index)?),
            neighbours: hex(neighbours(socket, index)?),
            sysctls: sysctls_of(&link.name),
            at: uptime()?,
            link,
        }))
    }

    /// Its addresses, each with its address family.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Raw> {
        self.addresses.iter().map(|bytes| Raw::of(libc::RTM_NEWADDR, bytes))
    }

    /// Its routes.
    pub(super) fn routes(&self) -> impl Iterator<Item = Raw> {
        self.routes.iter().map(|bytes| Raw::of(libc::RTM_NEWROUTE, bytes))
    }
}

/// The sysctls of an interface, those that can be read.
fn sysctls_of(name: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut sysctls = Sysctls::default();
    for folder in ["ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh", "mpls/conf"] {
        let Ok(entries) = fs::read_dir(format!("/proc/sys/net/{folder}/{name}")) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let file = entry.file_name().to_string_lossy().into_owned();
            let key = format!("net.{}.{}.{file}", folder.replace('/', "."), name.replace('.', "/"));
            // Some are only there to be written.
            if let Ok(value) = sysctls.read(&key) {
                found.insert(key, value);
            }
        }
    }
    found
}

/// Moves an interface into another namespace, where it has a name and, where the kernel allows the choice (Linux 5.13), an
/// index. It is set down first, which every move does.
pub(super) fn send_to(
    socket: &mut NetlinkSocket,
    index: u32,
    namespace: BorrowedFd<'_>,
    name: &str,
    new_index: u32,
) -> io::Result<()> {
    let message = Raw::new(libc::RTM_SETLINK, LINK)
        .set(4, index)
        .with(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
        .with(IFLA_NEW_IFINDEX, &new_index.to_ne_bytes())
        .with(libc::IFLA_IFNAME, &raw::terminated(name));
    request(socket, 0, message)
}

/// A message that changes an interface.
pub(super) fn change(index: u32) -> Raw {
    Raw::new(libc::RTM_SETLINK, LINK).set(4, index)
}

/// Sets and clears flags of an interface.
pub(super) fn set_flags(socket: &mut NetlinkSocket, index: u32, flags: u32, mask: u32) -> io::Result<()> {
    request(socket, 0, change(index).set(8, flags & mask).set(12, mask))
}

/// Makes an interface a port of a bridge, or of nothing for 0.
pub(super) fn set_master(socket: &mut NetlinkSocket, index: u32, master: u32) -> io::Result<()> {
    request(socket, 0, change(index).with(libc::IFLA_MASTER, &master.to_ne_bytes()))
}

/// How an interface comes by link-local addresses.
pub(super) fn set_gen_mode(socket: &mut NetlinkSocket, index: u32, mode: u8) -> io::Result<()> {
    let mut inner = Vec::new();
    raw::push(&mut inner, IFLA_INET6_ADDR_GEN_MODE, &[mode]);
    let mut outer = Vec::new();
    raw::push(&mut outer, libc::AF_INET6 as u16, &inner);
    request(socket, 0, change(index).with(libc::IFLA_AF_SPEC, &outer))
}

/// Makes an interface a port of a bridge and sets it up; what addresses and routes it has are taken away, and with `takeover`
/// given to the bridge, with its MAC address.
///
/// The calling thread is in the socket's namespace.
pub(super) fn plug(
    socket: &mut NetlinkSocket,
    nic: &Nic,
    bridge: u32,
    bridge_name: &str,
    takeover: bool,
) -> io::Result<()> {
    let index = nic.link.index;
    if nic.link.gen_mode.is_some() {
        set_gen_mode(socket, index, GEN_MODE_NONE)?;
    }
    strip(socket, index)?;
    set_master(socket, index, bridge)?;
    set_flags(socket, index, UP, UP)?;
    if takeover {
        request(socket, 0, change(bridge).with(libc::IFLA_ADDRESS, &nic.link.mac.0))?;
        set_flags(socket, bridge, UP, UP)?;
        for address in taken_over_addresses(nic, bridge, bridge_name) {
            add(socket, address)?;
        }
        super::restore::settle(socket, bridge)?;
        super::restore::add_routes(socket, taken_over_routes(nic, bridge)).map_err(|(_, error)| error)?;
    }
    Ok(())
}

/// Takes an interface's routes and addresses away.
pub(super) fn strip(socket: &mut NetlinkSocket, index: u32) -> io::Result<()> {
    let gone = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENOENT | libc::ENODEV))
    };
    for route in routes(socket, index)?.into_iter().filter(|route| !is_kernels(route)) {
        match request(socket, 0, Raw { kind: libc::RTM_DELROUTE, ..route }) {
            Err(error) if !gone(&error) => return Err(error),
            _ => {}
        }
    }
    for address in addresses(socket, index)? {
        match request(socket, 0, Raw { kind: libc::RTM_DELADDR, ..address }) {
            Err(error) if !gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Adds an address or a route; that it is there is as well.
pub(super) fn add(socket: &mut NetlinkSocket, message: Raw) -> io::Result<()> {
    match request(socket, NLM_F_CREATE | NLM_F_EXCL, message) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        done => done,
    }
}

/// Whether the kernel makes a route by itself, along with an address or an interface (`RTPROT_KERNEL`).
pub(super) fn is_kernels(route: &Raw) -> bool {
    route.bytes[5] == libc::RTPROT_KERNEL
}

/// What the bridge gets of an interface's addresses: not the link-local ones, which go with the interface.
pub(super) fn taken_over_addresses(nic: &Nic, bridge: u32, bridge_name: &str) -> Vec<Raw> {
    /// `RT_SCOPE_LINK`.
    const LINK_LOCAL: u8 = 253;
    nic.addresses()
        .filter(|address| i32::from(address.bytes[0]) == libc::AF_INET || address.bytes[3] != LINK_LOCAL)
        .map(|address| {
            address
                .map(ADDRESS, |kind, value| match kind {
                    // A label has to begin with the interface's name.
                    libc::IFA_LABEL => {
                        let rest = text(value).strip_prefix(&nic.link.name).map(str::to_owned);
                        let label = format!("{bridge_name}{}", rest.unwrap_or_default());
                        (label.len() < libc::IFNAMSIZ).then(|| raw::terminated(&label))
                    }
                    _ => Some(value.to_vec()),
                })
                .set(4, bridge)
        })
        .collect()
}

/// What the bridge gets of an interface's routes: not those that come with addresses.
pub(super) fn taken_over_routes(nic: &Nic, bridge: u32) -> Vec<Raw> {
    nic.routes()
        .filter(|route| !is_kernels(route))
        .map(|route| with_interface(&route, nic.link.index, bridge))
        .collect()
}

/// A route that leads through another interface.
pub(super) fn with_interface(route: &Raw, from: u32, to: u32) -> Raw {
    route.map(ROUTE, |kind, value| {
        let mut value = value.to_vec();
        match kind {
            libc::RTA_OIF if integer(&value) == Some(from) => value = to.to_ne_bytes().to_vec(),
            libc::RTA_MULTIPATH => {
                for at in hops_of(&value) {
                    if integer(&value[at + 4..]) == Some(from) {
                        value[at + 4..at + 8].copy_from_slice(&to.to_ne_bytes());
                    }
                }
            }
            _ => {}
        }
        Some(value)
    })
}
