//! A rule's expressions as `nft` words them: those that netlab makes, and any other by its name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlab_topology::plan::{Family, Proto};
use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};

use crate::kernel::nft::{
    NAT_DNAT, NAT_FAMILY, NAT_REG_ADDR_MIN, NAT_REG_PROTO_MIN, NAT_TYPE, NETWORK_HEADER, TRANSPORT_HEADER,
    addresses_at, family_number, protocol_number,
};

/// `NFTA_COUNTER_BYTES`, `NFTA_COUNTER_PACKETS`.
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

/// The conditions and statements of a rule, in their order.
pub(super) fn describe(expressions: &[ListAttribute<ExpressionAttribute>]) -> Vec<String> {
    let mut reader = Reader::default();
    for element in expressions {
        if let ListAttribute::Element(attributes) = element {
            let mut name = "";
            for attribute in attributes {
                match attribute {
                    ExpressionAttribute::Name(of) => name = of,
                    ExpressionAttribute::Data(expression) => reader.expression(name, expression),
                    _ => {}
                }
            }
        }
    }
    reader.parts
}

/// What the rule has loaded into its registers, and what it came to.
#[derive(Default)]
struct Reader {
    parts: Vec<String>,
    loaded: Loaded,
    prefix: Option<u32>,
    immediates: Vec<(Register, Vec<u8>)>,
    family: Option<Family>,
    proto: Option<&'static str>,
}

/// What is in the register that a comparison reads.
#[derive(Default)]
enum Loaded {
    #[default]
    Nothing,
    Meta(MetaKey),
    Payload {
        base: u32,
        offset: u32,
        length: u32,
    },
    AddressType,
}

impl Reader {
    fn expression(&mut self, name: &str, expression: &Expressions) {
        match expression {
            Expressions::Meta(attributes) => {
                for attribute in attributes {
                    if let Meta::Key(key) = attribute {
                        self.load(Loaded::Meta(*key));
                    }
                }
            }
            Expressions::Payload(attributes) => {
                let (mut base, mut offset, mut length) = (0, 0, 0);
                for attribute in attributes {
                    match attribute {
                        Payload::Base(value) => base = *value,
                        Payload::Offset(value) => offset = *value,
                        Payload::Len(value) => length = *value,
                        _ => {}
                    }
                }
                self.load(Loaded::Payload { base, offset, length });
            }
            Expressions::Bitwise(attributes) => {
                self.prefix = attributes.iter().find_map(|attribute| match attribute {
                    Bitwise::Mask(DataAttribute::Value(mask)) => {
                        Some(mask.iter().map(|byte| byte.count_ones()).sum())
                    }
                    _ => None,
                });
            }
            Expressions::Cmp(attributes) => self.compare(attributes),
            Expressions::Immediate(attributes) => self.immediate(attributes),
            Expressions::Other { attributes, .. } => self.other(name, attributes),
            _ => self.parts.push(format!("[{name}]")),
        }
    }

    fn load(&mut self, loaded: Loaded) {
        self.loaded = loaded;
        self.prefix = None;
    }

    fn compare(&mut self, attributes: &[Cmp]) {
        let mut operator = "";
        let mut value: &[u8] = &[];
        for attribute in attributes {
            match attribute {
                Cmp::Op(op) => {
                    operator = match op {
                        Operator::Equal => "",
                        Operator::NotEqual => "!= ",
                        Operator::LessThan => "< ",
                        Operator::LessThanEqual => "<= ",
                        Operator::GreaterThan => "> ",
                        Operator::GreatherThanEqual => ">= ",
                        _ => "? ",
                    }
                }
                Cmp::Data(DataAttribute::Value(data)) => value = data,
                _ => {}
            }
        }
        let (what, shown) = match &self.loaded {
            Loaded::Meta(MetaKey::Iifname) => ("iifname".to_owned(), text(value)),
            Loaded::Meta(MetaKey::Oifname) => ("oifname".to_owned(), text(value)),
            Loaded::Meta(MetaKey::Nfproto) => {
                let family =
                    [Family::V4, Family::V6].into_iter().find(|family| value == [family_number(*family)]);
                self.family = family;
                let name = match family {
                    Some(Family::V4) => "ipv4".to_owned(),
                    Some(Family::V6) => "ipv6".to_owned(),
                    None => hex(value),
                };
                ("meta nfproto".to_owned(), name)
            }
            Loaded::Meta(MetaKey::L4Proto) => {
                self.proto = match value {
                    [number] if *number == protocol_number(Proto::Tcp) => Some("tcp"),
                    [number] if *number == protocol_number(Proto::Udp) => Some("udp"),
                    _ => None,
                };
                ("meta l4proto".to_owned(), self.proto.map_or_else(|| hex(value), str::to_owned))
            }
            Loaded::Meta(key) => (format!("meta {key:?}").to_lowercase(), hex(value)),
            Loaded::Payload { base, offset, length } => self.payload(*base, *offset, *length, value),
            Loaded::AddressType => ("fib daddr type".to_owned(), address_type(value)),
            Loaded::Nothing => ("register".to_owned(), hex(value)),
        };
        self.parts.push(format!("{what} {operator}{shown}"));
    }

    fn payload(&self, base: u32, offset: u32, length: u32, value: &[u8]) -> (String, String) {
        let family = self.family.filter(|_| base == NETWORK_HEADER);
        if let Some(family) = family
            && let (source, destination, full) = addresses_at(family)
            && full == length
            && (offset == source || offset == destination)
            && let Some(addr) = address(value)
        {
            let word = if family == Family::V4 { "ip" } else { "ip6" };
            let side = if offset == source { "saddr" } else { "daddr" };
            let prefix = self.prefix.map_or_else(String::new, |length| format!("/{length}"));
            return (format!("{word} {side}"), format!("{addr}{prefix}"));
        }
        if let (Some(proto), TRANSPORT_HEADER, 0 | 2, 2, [high, low]) =
            (self.proto, base, offset, length, value)
        {
            let side = if offset == 0 { "sport" } else { "dport" };
            return (format!("{proto} {side}"), u16::from_be_bytes([*high, *low]).to_string());
        }
        (format!("@{base},{},{}", offset * 8, length * 8), hex(value))
    }

    fn immediate(&mut self, attributes: &[Immediate]) {
        let mut register = None;
        for attribute in attributes {
            match attribute {
                Immediate::DestinationRegister(to) => register = Some(*to),
                Immediate::Data(DataAttribute::Value(value)) => {
                    self.immediates.extend(register.map(|register| (register, value.clone())));
                }
                Immediate::Data(DataAttribute::Verdict(verdict)) => {
                    self.parts.extend(verdict.iter().filter_map(|attribute| match attribute {
                        VerdictAttribute::Code(code) => Some(verdict_name(*code)),
                        VerdictAttribute::Chain(chain) => Some(chain.clone()),
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
    }

    fn other(&mut self, name: &str, attributes: &[DefaultNla]) {
        match name {
            "masq" => self.parts.push("masquerade".to_owned()),
            "fib" => self.load(Loaded::AddressType),
            "counter" => {
                let count = |kind| {
                    value(attributes, kind).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
                };
                let (packets, bytes) =
                    (count(COUNTER_PACKETS).unwrap_or(0), count(COUNTER_BYTES).unwrap_or(0));
                self.parts.push(format!("counter packets {packets} bytes {bytes}"));
            }
            "nat" => self.nat(attributes),
            other => self.parts.push(format!("[{other}]")),
        }
    }

    fn nat(&mut self, attributes: &[DefaultNla]) {
        let number =
            |kind| value(attributes, kind).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let loaded = |kind| {
            let register = Register::from(number(kind)?);
            self.immediates.iter().rev().find(|(of, _)| *of == register).map(|(_, value)| value.as_slice())
        };
        let word = if number(NAT_TYPE) == Some(NAT_DNAT) { "dnat" } else { "snat" };
        let family = match number(NAT_FAMILY) {
            Some(family) if family == u32::from(family_number(Family::V4)) => " ip",
            Some(family) if family == u32::from(family_number(Family::V6)) => " ip6",
            _ => "",
        };
        let port = loaded(NAT_REG_PROTO_MIN).and_then(|value| value.try_into().ok()).map(u16::from_be_bytes);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let to = match loaded(NAT_REG_ADDR_MIN).and_then(address) {
            Some(IpAddr::V6(addr)) if !port.is_empty() => format!("[{addr}]{port}"),
            Some(addr) => format!("{addr}{port}"),
            None => port,
        };
        self.parts.push(format!("{word}{family} to {to}"));
    }
}

/// The value of the attribute of a kind.
fn value(attributes: &[DefaultNla], kind: u16) -> Option<Vec<u8>> {
    let attribute = attributes.iter().find(|attribute| attribute.kind() == kind)?;
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    Some(bytes)
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

/// An interface name, quoted as `nft` does.
fn text(value: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(value).trim_end_matches('\0'))
}

fn hex(value: &[u8]) -> String {
    value.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// `RTN_*`, `include/uapi/linux/rtnetlink.h`.
fn address_type(value: &[u8]) -> String {
    match value.try_into().map(u32::from_ne_bytes) {
        Ok(1) => "unicast".to_owned(),
        Ok(2) => "local".to_owned(),
        Ok(3) => "broadcast".to_owned(),
        Ok(5) => "multicast".to_owned(),
        _ => hex(value),
    }
}

fn verdict_name(verdict: Verdict) -> String {
    match u32::from(verdict) {
        0 => "drop".to_owned(),
        1 => "accept".to_owned(),
        _ => format!("{verdict:?}").to_lowercase(),
    }
}
