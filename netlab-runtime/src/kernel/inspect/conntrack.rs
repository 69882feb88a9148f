//! Tracked connections (`IPCTNL_MSG_CT_GET`, ctnetlink).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{DefaultNla, Nla, NlasIterator};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Protocol, Status,
    Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use crate::kernel::NetlinkSocket;

/// `CTA_COUNTERS_ORIG`, `CTA_COUNTERS_REPLY`, and in them `CTA_COUNTERS_PACKETS`, `CTA_COUNTERS_BYTES`.
const COUNTERS_ORIGINAL: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const COUNTERS_PACKETS: u16 = 1;
const COUNTERS_BYTES: u16 = 2;

/// A connection that the kernel tracks (`struct nf_conn`). It does so where a rule needs it: where there is NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// Its protocol.
    pub protocol: FlowProtocol,
    /// Its first packet, as it came.
    pub original: Direction,
    /// What is expected back: the other way round, unless NAT changed it.
    pub reply: Direction,
    /// State of a TCP connection, as `conntrack -L` names it.
    pub state: Option<&'static str>,
    /// Whether anything came back (`IPS_SEEN_REPLY`).
    pub replied: bool,
    /// Whether it is past its beginnings, and not dropped when the table is full (`IPS_ASSURED`).
    pub assured: bool,
    /// In how many seconds it is forgotten; none while it is being so.
    pub timeout: Option<u32>,
    /// Its mark (`CONFIG_NF_CONNTRACK_MARK`).
    pub mark: u32,
}

/// One direction of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Direction {
    /// Whom its packets come from; the port is 0 where the protocol has none.
    pub source: SocketAddr,
    /// Whom they go to.
    pub destination: SocketAddr,
    /// Packets and bytes, where the sysctl `net.netfilter.nf_conntrack_acct` has them counted.
    pub counted: Option<(u64, u64)>,
}

/// The protocol of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// ICMPv6.
    IcmpV6,
    /// Any other, by its number.
    Other(u8),
}

impl Flow {
    /// Whether NAT changed who it comes from.
    pub fn is_source_translated(&self) -> bool {
        self.reply.destination != self.original.source
    }

    /// Whether NAT changed who it goes to.
    pub fn is_destination_translated(&self) -> bool {
        self.reply.source != self.original.destination
    }
}

/// As `conntrack -L`.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.protocol)?;
        if let Some(timeout) = self.timeout {
            write!(f, " {timeout}")?;
        }
        if let Some(state) = self.state {
            write!(f, " {state}")?;
        }
        write!(f, " {}", self.original)?;
        if !self.replied {
            f.write_str(" [UNREPLIED]")?;
        }
        write!(f, " {}", self.reply)?;
        if self.assured {
            f.write_str(" [ASSURED]")?;
        }
        if self.mark == 0 { Ok(()) } else { write!(f, " mark={}", self.mark) }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, counted } = self;
        write!(f, "src={} dst={}", source.ip(), destination.ip())?;
        if source.port() != 0 || destination.port() != 0 {
            write!(f, " sport={} dport={}", source.port(), destination.port())?;
        }
        match counted {
            Some((packets, bytes)) => write!(f, " packets={packets} bytes={bytes}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FlowProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.pad("tcp"),
            Self::Udp => f.pad("udp"),
            Self::Icmp => f.pad("icmp"),
            Self::IcmpV6 => f.pad("icmpv6"),
            Self::Other(number) => write!(f, "{number}"),
        }
    }
}

/// The connections tracked in the namespace of a socket of `NETLINK_NETFILTER`, in the kernel's order.
pub(crate) fn flows(socket: &mut NetlinkSocket) -> io::Result<Vec<Flow>> {
    Ok(tracked(socket)?.into_iter().map(|(flow, _key)| flow).collect())
}

/// The connections, each with the attribute that the kernel knows it by: its first packet's addresses, with whatever else its protocol
/// is told apart by.
pub(crate) fn tracked(socket: &mut NetlinkSocket) -> io::Result<Vec<(Flow, ConntrackAttribute)>> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let messages =
        socket.dump(|| NetfilterMessage::new(header.clone(), ConntrackMessage::Get(Vec::new())))?;
    let flows = messages.into_iter().filter_map(|message| match message.inner {
        NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) => {
            let flow = flow(&attributes)?;
            let is_key =
                |attribute: &ConntrackAttribute| matches!(attribute, ConntrackAttribute::CtaTupleOrig(_));
            Some((flow, attributes.into_iter().find(is_key)?))
        }
        _ => None,
    });
    Ok(flows.collect())
}

fn flow(attributes: &[ConntrackAttribute]) -> Option<Flow> {
    let (mut original, mut reply) = (None, None);
    let (mut state, mut status, mut timeout, mut mark) = (None, Status::empty(), None, 0);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = direction(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => reply = direction(tuple),
            ConntrackAttribute::CtaProtoInfo(infos) => state = infos.iter().find_map(tcp_state),
            ConntrackAttribute::CtaStatus(of) => status = *of,
            ConntrackAttribute::CtaTimeout(seconds) => timeout = Some(*seconds),
            ConntrackAttribute::CtaMark(of) => mark = *of,
            _ => {}
        }
    }
    let ((protocol, mut original), (_, mut reply)) = (original?, reply?);
    for attribute in attributes {
        if let ConntrackAttribute::Other(other) = attribute {
            match other.kind() & !NESTED {
                COUNTERS_ORIGINAL => original.counted = counted(other),
                COUNTERS_REPLY => reply.counted = counted(other),
                _ => {}
            }
        }
    }
    let (replied, assured) = (status.contains(Status::SeenReply), status.contains(Status::Assured));
    Some(Flow { protocol, original, reply, state, replied, assured, timeout, mark })
}

/// `NLA_F_NESTED`, `include/uapi/linux/netlink.h`.
const NESTED: u16 = 0x8000;

fn direction(tuple: &[Tuple]) -> Option<(FlowProtocol, Direction)> {
    let (mut source, mut destination): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut from_port, mut to_port) = (0, 0);
    let mut protocol = FlowProtocol::Other(0);
    for part in tuple {
        match part {
            Tuple::Ip(addrs) => {
                for addr in addrs {
                    match addr {
                        IPTuple::SourceAddress(addr) => source = Some(*addr),
                        IPTuple::DestinationAddress(addr) => destination = Some(*addr),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(ports) => {
                for port in ports {
                    match port {
                        ProtoTuple::Protocol(of) => protocol = (*of).into(),
                        ProtoTuple::SourcePort(port) => from_port = *port,
                        ProtoTuple::DestinationPort(port) => to_port = *port,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let (source, destination) = (SocketAddr::new(source?, from_port), SocketAddr::new(destination?, to_port));
    Some((protocol, Direction { source, destination, counted: None }))
}

impl From<Protocol> for FlowProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Icmp => Self::Icmp,
            Protocol::Ipv6Icmp => Self::IcmpV6,
            other => Self::Other(other.into()),
        }
    }
}

/// `enum tcp_conntrack`, `include/uapi/linux/netfilter/nf_conntrack_tcp.h`.
fn tcp_state(info: &ProtoInfo) -> Option<&'static str> {
    let ProtoInfo::TCP(parts) = info else { return None };
    let state = parts.iter().find_map(|part| match part {
        ProtoInfoTCP::State(state) => Some(usize::from(*state)),
        _ => None,
    })?;
    let names = [
        "NONE",
        "SYN_SENT",
        "SYN_RECV",
        "ESTABLISHED",
        "FIN_WAIT",
        "CLOSE_WAIT",
        "LAST_ACK",
        "TIME_WAIT",
        "CLOSE",
        "SYN_SENT2",
    ];
    names.get(state).copied()
}

/// Packets and bytes, as 64-bit numbers in network order.
fn counted(attribute: &DefaultNla) -> Option<(u64, u64)> {
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    let number = |kind| {
        let attributes = NlasIterator::new(bytes.as_slice()).map_while(Result::ok);
        let mut of_kind = attributes.filter(|attribute| attribute.kind() == kind);
        of_kind.find_map(|attribute| attribute.value().try_into().ok().map(u64::from_be_bytes))
    };
    Some((number(COUNTERS_PACKETS)?, number(COUNTERS_BYTES)?))
}
