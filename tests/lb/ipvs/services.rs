//! What `ipvsadm` does, by generic netlink: virtual services of a director, and their real servers.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlab::prelude::*;
use netlink_packet_core::{DecodeError, DefaultNla, Emitable, NLA_F_NESTED, ParseableParametrized};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;

use crate::netlink::Netlink;

/// The director: IPVS in a node, for TCP unless told.
#[derive(Debug)]
pub struct Director {
    netlink: Netlink,
    /// Numbered as the kernel pleases.
    family: u16,
    /// `IPPROTO_*`.
    protocol: libc::c_int,
}

/// How packets get to a real server (`IP_VS_CONN_F_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// With another destination address; the answers come back through the director (`ipvsadm -m`).
    Nat = 0,
    /// Within a packet to the server, in IP (`ipvsadm -i`).
    Tunnel = 2,
    /// As they are, to the server's MAC address (`ipvsadm -g`).
    DirectRouting = 3,
}

/// How a real server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduler {
    name: &'static str,
    flags: u32,
}

impl Scheduler {
    /// One server after the other.
    pub const ROUND_ROBIN: Self = Self { name: "rr", flags: 0 };
    /// As often as their weights say.
    pub const WEIGHTED_ROUND_ROBIN: Self = Self { name: "wrr", flags: 0 };
    /// By a hash of the client's address.
    pub const SOURCE_HASHING: Self = Self { name: "sh", flags: 0 };
    /// By a hash of the client's address and port (`-b sh-port`, `IP_VS_SVC_F_SCHED_SH_PORT`).
    pub const SOURCE_AND_PORT_HASHING: Self = Self { name: "sh", flags: 0x10 };
    /// Maglev hashing of the client's address and port (`-b mh-port`, `IP_VS_SVC_F_SCHED_MH_PORT`).
    pub const MAGLEV_HASHING: Self = Self { name: "mh", flags: 0x10 };

    /// A client stays with its server (`-p`, `IP_VS_SVC_F_PERSISTENT`).
    pub const fn persistent(self) -> Self {
        Self { flags: self.flags | 1, ..self }
    }
}

impl Director {
    /// IPVS of a node, without services. Asking for it has the kernel load its module, where there is one.
    ///
    /// # Errors
    ///
    /// The kernel has none; or the node is in a user namespace, since its commands are for `CAP_NET_ADMIN` in the machine's
    /// (`GENL_ADMIN_PERM` in net/netfilter/ipvs/ip_vs_ctl.c).
    pub fn of(node: &Node) -> io::Result<Self> {
        let netlink = Netlink::open(node, NETLINK_GENERIC)?;
        let question = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(Command::family_name().to_owned())],
        };
        let answers = netlink.request(GenlMessage::from_payload(question), 0).map_err(|error| {
            io::Error::new(error.kind(), format!("the kernel has no netlink family `IPVS`: {error}"))
        })?;
        let family =
            answers.iter().flat_map(|answer| &answer.payload.nlas).find_map(|attribute| match attribute {
                GenlCtrlAttrs::FamilyId(family) => Some(*family),
                _ => None,
            });
        let family = family.ok_or_else(|| io::Error::other("the netlink family `IPVS` has no number"))?;
        let director = Self { netlink, family, protocol: libc::IPPROTO_TCP };
        director.command(FLUSH, Vec::new()).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("only root of the machine may tell IPVS what to do: {error}"),
            )
        })?;
        Ok(director)
    }

    /// From now on its services are of UDP (`ipvsadm -u` for `-t`).
    pub fn for_datagrams(self) -> Self {
        Self { protocol: libc::IPPROTO_UDP, ..self }
    }

    /// Balances what comes to an address: `ipvsadm -A -t ADDRESS -s SCHEDULER`.
    pub fn add_service(&self, vip: SocketAddr, scheduler: Scheduler) -> io::Result<()> {
        /// Without effect on a service that is not persistent.
        const TIMEOUT: u32 = 300;
        let netmask: u32 = if vip.is_ipv4() { u32::MAX } else { 128 };
        let mut service = self.name_of_service(vip);
        service.extend([
            attribute(svc::SCHEDULER, &[scheduler.name.as_bytes(), b"\0"].concat()),
            // The flags, and which of them are meant.
            attribute(svc::FLAGS, &[scheduler.flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat()),
            attribute(svc::TIMEOUT, &TIMEOUT.to_ne_bytes()),
            attribute(svc::NETMASK, &netmask.to_ne_bytes()),
        ]);
        self.command(NEW_SERVICE, vec![nested(SERVICE, &service)])
    }

    /// A real server more: `ipvsadm -a -t ADDRESS -r SERVER -w WEIGHT`.
    pub fn add_server(
        &self,
        vip: SocketAddr,
        server: SocketAddr,
        forward: Forward,
        weight: u32,
    ) -> io::Result<()> {
        self.server(NEW_DEST, vip, &options_of_server(server, forward, weight))
    }

    /// Changes the weight of a real server: `ipvsadm -e`. With weight 0 it keeps the connections it has, and gets no more.
    pub fn set_weight(
        &self,
        vip: SocketAddr,
        server: SocketAddr,
        forward: Forward,
        weight: u32,
    ) -> io::Result<()> {
        self.server(SET_DEST, vip, &options_of_server(server, forward, weight))
    }

    /// A real server less: `ipvsadm -d`.
    pub fn remove_server(&self, vip: SocketAddr, server: SocketAddr) -> io::Result<()> {
        self.server(DEL_DEST, vip, &name_of_server(server))
    }

    fn server(&self, command: u8, vip: SocketAddr, server: &[DefaultNla]) -> io::Result<()> {
        self.command(command, vec![nested(SERVICE, &self.name_of_service(vip)), nested(DEST, server)])
    }

    fn name_of_service(&self, vip: SocketAddr) -> Vec<DefaultNla> {
        vec![
            attribute(svc::FAMILY, &family(vip).to_ne_bytes()),
            attribute(svc::PROTOCOL, &(self.protocol as u16).to_ne_bytes()),
            attribute(svc::ADDR, &padded(vip.ip())),
            attribute(svc::PORT, &vip.port().to_be_bytes()),
        ]
    }

    fn command(&self, command: u8, attributes: Vec<DefaultNla>) -> io::Result<()> {
        let mut message = GenlMessage::from_payload(Command { command, attributes });
        message.set_resolved_family_id(self.family);
        self.netlink.request(message, 0).map(drop)
    }
}

// include/uapi/linux/ip_vs.h: `IPVS_CMD_*` and `IPVS_CMD_ATTR_*`.
const NEW_SERVICE: u8 = 1;
const NEW_DEST: u8 = 5;
const SET_DEST: u8 = 6;
const DEL_DEST: u8 = 7;
const FLUSH: u8 = 17;
const SERVICE: u16 = 1;
const DEST: u16 = 2;

/// `IPVS_SVC_ATTR_*`.
mod svc {
    pub const FAMILY: u16 = 1;
    pub const PROTOCOL: u16 = 2;
    pub const ADDR: u16 = 3;
    pub const PORT: u16 = 4;
    pub const SCHEDULER: u16 = 6;
    pub const FLAGS: u16 = 7;
    pub const TIMEOUT: u16 = 8;
    pub const NETMASK: u16 = 9;
}

/// `IPVS_DEST_ATTR_*`.
mod dest {
    pub const ADDR: u16 = 1;
    pub const PORT: u16 = 2;
    pub const FORWARD: u16 = 3;
    pub const WEIGHT: u16 = 4;
    pub const UPPER: u16 = 5;
    pub const LOWER: u16 = 6;
    pub const FAMILY: u16 = 11;
}

fn name_of_server(server: SocketAddr) -> Vec<DefaultNla> {
    vec![
        attribute(dest::FAMILY, &family(server).to_ne_bytes()),
        attribute(dest::ADDR, &padded(server.ip())),
        attribute(dest::PORT, &server.port().to_be_bytes()),
    ]
}

fn options_of_server(server: SocketAddr, forward: Forward, weight: u32) -> Vec<DefaultNla> {
    let mut options = name_of_server(server);
    options.extend([
        attribute(dest::FORWARD, &(forward as u32).to_ne_bytes()),
        attribute(dest::WEIGHT, &weight.to_ne_bytes()),
        // No bounds to how many connections it has.
        attribute(dest::UPPER, &[0; 4]),
        attribute(dest::LOWER, &[0; 4]),
    ]);
    options
}

fn family(addr: SocketAddr) -> u16 {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    family as u16
}

/// An address as `union nf_inet_addr` has it.
fn padded(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&addr.octets());
            bytes
        }
        IpAddr::V6(addr) => addr.octets(),
    }
}

fn attribute(kind: u16, value: &[u8]) -> DefaultNla {
    DefaultNla::new(kind, value.to_vec())
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut value = vec![0; attributes.buffer_len()];
    attributes.emit(&mut value);
    DefaultNla::new(kind | NLA_F_NESTED, value)
}

/// A message of the family.
#[derive(Debug)]
struct Command {
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl GenlFamily for Command {
    fn family_name() -> &'static str {
        "IPVS"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Command {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Command {
    /// What is asked for here is answered by an acknowledgement alone.
    fn parse_with_param(_attributes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, attributes: Vec::new() })
    }
}
