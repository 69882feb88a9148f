//! Firewall steps as messages of nf_tables (`NETLINK_NETFILTER`), in the table family `inet`.
//!
//! A rule is a list of expressions that load into and compare registers
//! (`include/uapi/linux/netfilter/nf_tables.h`). The constants below are what the message library has not.

use std::net::IpAddr;

use ipnet::IpNet;
use netlab_topology::IfName;
use netlab_topology::plan::{Action, Family, Hook, Match, Nft, Proto};
use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions,
    Hook as HookAttribute, HookNumber, Immediate, InetHookNumber, ListAttribute, Meta, MetaKey,
    NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::socket::{NetlinkSocket, Refused};

/// `NFNL_SUBSYS_NFTABLES`, which a batch names as the subsystem that it is for.
const SUBSYSTEM: u16 = 10;

/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`.
pub(super) const NETWORK_HEADER: u32 = 1;
pub(super) const TRANSPORT_HEADER: u32 = 2;

/// `NFTA_FIB_*`, with the address type (`NFT_FIB_RESULT_ADDRTYPE`) of the destination (`NFTA_FIB_F_DADDR`).
const FIB_DREG: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_F_DADDR: u32 = 2;

/// `NFTA_NAT_*`, with `NFT_NAT_DNAT`.
pub(super) const NAT_TYPE: u16 = 1;
pub(super) const NAT_FAMILY: u16 = 2;
pub(super) const NAT_REG_ADDR_MIN: u16 = 3;
pub(super) const NAT_REG_PROTO_MIN: u16 = 5;
pub(super) const NAT_DNAT: u32 = 1;

/// Where the addresses stand in the network header: offset of the source, of the destination, length.
pub(super) const fn addresses_at(family: Family) -> (u32, u32, u32) {
    match family {
        Family::V4 => (12, 16, 4),
        Family::V6 => (8, 24, 16),
    }
}

/// `NFPROTO_*`.
pub(super) const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

pub(super) const fn protocol_number(proto: Proto) -> u8 {
    match proto {
        Proto::Tcp => 6,
        Proto::Udp => 17,
    }
}

/// Begins a transaction: all that is in it is done, or nothing.
pub(crate) fn begin() -> NetfilterMessage {
    NetfilterMessage::new(
        NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM),
        ControlMessage::BatchBegin,
    )
}

/// Ends a transaction.
pub(crate) fn end() -> NetfilterMessage {
    NetfilterMessage::new(
        NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM),
        ControlMessage::BatchEnd,
    )
}

/// The message of a step, with its flags.
pub(crate) fn message(nft: &Nft) -> (u16, NetfilterMessage) {
    let table = || Nft::TABLE.to_owned();
    let (flags, message) = match nft {
        Nft::AddTable => {
            let attributes = vec![TableAttribute::Name(table())];
            (NLM_F_CREATE, NfTablesMessage::NewTable(TableMessage { attributes }))
        }
        Nft::AddNatChain { hook } => {
            let number = match hook {
                Hook::Prerouting => InetHookNumber::PreRouting,
                Hook::Output => InetHookNumber::LocalOut,
                Hook::Postrouting => InetHookNumber::PostRouting,
                Hook::Input => InetHookNumber::LocalIn,
                Hook::Forward => InetHookNumber::Forward,
            };
            let attributes = vec![
                ChainAttribute::Table(table()),
                ChainAttribute::Name(hook.name().to_owned()),
                ChainAttribute::Hook(vec![
                    HookAttribute::Number(HookNumber::Inet(number)),
                    HookAttribute::Priority(hook.priority().cast_unsigned()),
                ]),
                ChainAttribute::Type("nat".to_owned()),
            ];
            (NLM_F_CREATE, NfTablesMessage::NewChain(ChainMessage { attributes }))
        }
        Nft::AddRule { hook, matches, action } => {
            let attributes = vec![
                RuleAttribute::Table(table()),
                RuleAttribute::Chain(hook.name().to_owned()),
                RuleAttribute::Expressions(expressions(matches, *action)),
            ];
            (NLM_F_CREATE | NLM_F_APPEND, NfTablesMessage::NewRule(RuleMessage { attributes }))
        }
    };
    (flags, NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0), message))
}

/// Carries steps out as one transaction, in the namespace of the socket.
pub(crate) fn transaction(socket: &mut NetlinkSocket, steps: &[Nft]) -> Result<(), Refused> {
    socket.transaction(begin(), steps.iter().map(message), end())
}

fn expressions(matches: &[Match], action: Action) -> Vec<ListAttribute<ExpressionAttribute>> {
    let mut rule = Rule { expressions: Vec::new(), family: None };
    for condition in matches {
        rule.condition(condition);
    }
    // Counts what matched, for `Lab::dump`.
    rule.other("counter", Vec::new());
    rule.action(action);
    rule.expressions.into_iter().map(ListAttribute::from).collect()
}

struct Rule {
    expressions: Vec<Expressions>,
    /// The family that the packet is known to be of, by an earlier condition.
    family: Option<Family>,
}

impl Rule {
    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::OutgoingInterface(name) => self.interface(MetaKey::Oifname, name),
            Match::IncomingInterface(name) => self.interface(MetaKey::Iifname, name),
            Match::Source(net) => {
                let family = Family::of(net.addr());
                self.only(family);
                let (source, _, length) = addresses_at(family);
                self.load(NETWORK_HEADER, source, length);
                if u32::from(net.prefix_len()) < length * 8 {
                    let zero = vec![0; length as usize];
                    self.expressions.push(Expressions::Bitwise(vec![
                        Bitwise::SourceRegister(Register::Reg1),
                        Bitwise::DestinationRegister(Register::Reg1),
                        Bitwise::Length(length),
                        Bitwise::Mask(DataAttribute::Value(octets(match net {
                            IpNet::V4(net) => net.netmask().into(),
                            IpNet::V6(net) => net.netmask().into(),
                        }))),
                        Bitwise::Xor(DataAttribute::Value(zero)),
                    ]));
                }
                self.equals(octets(net.network()));
            }
            Match::Destination(addr) => {
                let family = Family::of(*addr);
                self.only(family);
                let (_, destination, length) = addresses_at(family);
                self.load(NETWORK_HEADER, destination, length);
                self.equals(octets(*addr));
            }
            Match::Family(family) => self.only(*family),
            Match::ToLocalAddress => {
                self.other(
                    "fib",
                    vec![
                        number(FIB_DREG, Register::Reg1.into()),
                        number(FIB_FLAGS, FIB_F_DADDR),
                        number(FIB_RESULT, FIB_RESULT_ADDRTYPE),
                    ],
                );
                self.equals(u32::from(libc::RTN_LOCAL).to_ne_bytes().to_vec());
            }
            Match::DestinationPort(proto, port) => {
                self.meta(MetaKey::L4Proto);
                self.equals(vec![protocol_number(*proto)]);
                self.load(TRANSPORT_HEADER, 2, 2);
                self.equals(port.to_be_bytes().to_vec());
            }
        }
    }

    fn action(&mut self, action: Action) {
        match action {
            Action::Masquerade => self.other("masq", Vec::new()),
            Action::Accept => panic!("a plan accepts packets only in iptables"),
            Action::Dnat { addr, port } => {
                self.immediate(Register::Reg1, octets(addr));
                self.immediate(Register::Reg2, port.to_be_bytes().to_vec());
                self.other(
                    "nat",
                    vec![
                        number(NAT_TYPE, NAT_DNAT),
                        number(NAT_FAMILY, family_number(Family::of(addr)).into()),
                        number(NAT_REG_ADDR_MIN, Register::Reg1.into()),
                        number(NAT_REG_PROTO_MIN, Register::Reg2.into()),
                    ],
                );
            }
        }
    }

    /// Goes on only with packets of the family; in `inet` a rule sees both.
    fn only(&mut self, family: Family) {
        if self.family != Some(family) {
            self.family = Some(family);
            self.meta(MetaKey::Nfproto);
            self.equals(vec![family_number(family)]);
        }
    }

    fn interface(&mut self, key: MetaKey, name: &IfName) {
        self.meta(key);
        // The register holds the whole of IFNAMSIZ, NULs included.
        let mut value = name.as_str().as_bytes().to_vec();
        value.resize(16, 0);
        self.equals(value);
    }

    fn meta(&mut self, key: MetaKey) {
        self.expressions
            .push(Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]));
    }

    fn load(&mut self, base: u32, offset: u32, length: u32) {
        self.expressions.push(Expressions::Payload(vec![
            Payload::DestinationRegister(Register::Reg1),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(length),
        ]));
    }

    fn equals(&mut self, value: Vec<u8>) {
        self.expressions.push(Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(Operator::Equal),
            Cmp::Data(DataAttribute::Value(value)),
        ]));
    }

    fn immediate(&mut self, register: Register, value: Vec<u8>) {
        self.expressions.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(register),
            Immediate::Data(DataAttribute::Value(value)),
        ]));
    }

    fn other(&mut self, name: &str, attributes: Vec<DefaultNla>) {
        self.expressions.push(Expressions::Other { expression_type: name.to_owned(), attributes });
    }
}

/// An attribute of 32 bits in network order.
fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}
