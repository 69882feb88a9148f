//! Model to text.
//!
//! Invariant: reading what is printed gives the same model, whatever its names.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::token::is_special;
use super::values::write_host_part;
use super::words::is_word;
use crate::model::{
    AttachmentAddr, Dnat, Firewall, Hop, LinkStatement, Nat, NetStatement, Nic, NodeAttributes,
    NodeStatement, Origin, Route, Statement, Sysctl, Target, Uplink, Via, WireAttributes,
};

/// Longest name that the others are aligned with.
const WIDEST: usize = 24;

/// A statement as printed: its verb, its name, and the rest.
pub(crate) type Row = (&'static str, String, String);

/// Writes statements, one a line.
pub(crate) fn print(statements: &[Statement], out: &mut impl Write) -> fmt::Result {
    print_rows(&statements.iter().map(row).collect::<Vec<_>>(), out)
}

/// Writes rows, one a line, their columns aligned.
pub(crate) fn print_rows(rows: &[Row], out: &mut impl Write) -> fmt::Result {
    let verb = rows.iter().map(|(verb, ..)| verb.len()).max().unwrap_or(0);
    let name =
        rows.iter().map(|(_, name, _)| name.chars().count()).filter(|n| *n <= WIDEST).max().unwrap_or(0);
    for (i, (v, n, rest)) in rows.iter().enumerate() {
        if i > 0 {
            out.write_char('\n')?;
        }
        if rest.is_empty() {
            write!(out, "{v:verb$} {n}")?;
        } else {
            write!(out, "{v:verb$} {n:name$} {rest}")?;
        }
    }
    Ok(())
}

/// The verb, the name and the rest of a statement.
fn row(statement: &Statement) -> Row {
    let mut items = Vec::new();
    match statement {
        Statement::Net(NetStatement { name, subnets, attributes, uplink }) => {
            items.extend(subnets.iter().map(|subnet| subnet.value.to_string()));
            self::uplink(uplink, &mut items);
            wire_attributes(attributes, &mut items);
            ("net", plain_or_quoted(&name.value), items.join(" "))
        }
        Statement::Link(LinkStatement { nodes: [a, b], subnets, attributes }) => {
            items.extend(subnets.iter().map(|subnet| subnet.value.to_string()));
            wire_attributes(attributes, &mut items);
            ("link", format!("{} {}", plain_or_quoted(&a.value), plain_or_quoted(&b.value)), items.join(" "))
        }
        Statement::Node(node) => {
            let mut name = plain_or_quoted(&node.name.value);
            if let Some(count) = node.count {
                name.push_str(&format!("[{}]", count.value));
            }
            attachments(node, &mut items);
            node_attributes(&node.attributes, &mut items);
            (if node.router { "router" } else { "node" }, name, items.join(" "))
        }
    }
}

fn attachments(node: &NodeStatement, items: &mut Vec<String>) {
    for attachment in &node.attachments {
        let mut text = net_of_attachment(&attachment.net.value);
        for (i, addr) in attachment.addrs.iter().enumerate() {
            text.push(if i == 0 { '=' } else { ',' });
            text.push_str(&attachment_addr(addr.value));
        }
        let mut inner = Vec::new();
        wire_attributes(&attachment.attributes, &mut inner);
        if !inner.is_empty() {
            text.push_str(&format!("({})", inner.join(" ")));
        }
        items.push(text);
    }
}

/// A net where an attribute could stand.
pub(crate) fn net_of_attachment(net: &str) -> String {
    if is_word(net) { quote(net) } else { plain_or_quoted(net) }
}

fn attachment_addr(addr: AttachmentAddr) -> String {
    match addr {
        AttachmentAddr::Host(part) => write_host_part(part),
        // A whole address must not look like a host part.
        AttachmentAddr::Full(IpAddr::V6(addr)) if addr.segments()[0] == 0 => {
            addr.segments().map(|segment| format!("{segment:x}")).join(":")
        }
        AttachmentAddr::Full(addr) => addr.to_string(),
    }
}

fn wire_attributes(attributes: &WireAttributes, items: &mut Vec<String>) {
    let WireAttributes { dev, mtu, mac, offload } = attributes;
    items.extend(dev.as_ref().map(|dev| format!("dev={}", plain_or_quoted(&dev.value))));
    items.extend(mtu.map(|mtu| format!("mtu={}", mtu.value)));
    items.extend(mac.map(|mac| format!("mac={}", mac.value)));
    items.extend(offload.map(|on| format!("offload={}", if on.value { "on" } else { "off" })));
}

fn uplink(uplink: &Uplink, items: &mut Vec<String>) {
    let Uplink { port, takeover, force, dev } = uplink;
    items.extend(port.as_ref().map(|port| format!("port={}", plain_or_quoted(&port.value))));
    items.extend(takeover.map(|_| "takeover".to_owned()));
    items.extend(force.map(|_| "force".to_owned()));
    items.extend(dev.as_ref().map(|dev| format!("dev={}", plain_or_quoted(&dev.value))));
}

fn node_attributes(attributes: &NodeAttributes, items: &mut Vec<String>) {
    let NodeAttributes { vias, forward, routes, addrs, nats, dnats, sysctls, firewall, real, nics } =
        attributes;
    items.extend(real.map(|_| "real".to_owned()));
    items.extend(nics.iter().map(|n| nic(&n.value)));
    items.extend(addrs.iter().map(|addr| format!("addr={}", addr.value)));
    items.extend(vias.iter().map(|via| match &via.value {
        Via::None => "via=none".to_owned(),
        Via::Addr(addr) => format!("via={addr}"),
        Via::Node(name) if name == "none" => format!("via={}", quote(name)),
        Via::Node(name) => format!("via={}", plain_or_quoted(name)),
    }));
    items.extend(forward.map(|_| "forward".to_owned()));
    items.extend(routes.iter().map(|r| route(&r.value)));
    items.extend(nats.iter().map(|n| nat(&n.value)));
    items.extend(dnats.iter().map(|d| dnat(&d.value)));
    items.extend(sysctls.iter().map(|s| sysctl(&s.value)));
    items.extend(firewall.map(|firewall| match firewall.value {
        Firewall::Nft => "firewall=nft".to_owned(),
        Firewall::Iptables => "firewall=iptables".to_owned(),
    }));
}

/// An interface of the machine in a node.
pub(crate) fn nic_text(name: &str, force: bool, addrs: &[String]) -> String {
    let mut text = format!("nic({}", plain_or_quoted(name));
    text.push_str(if force { " force)" } else { ")" });
    if !addrs.is_empty() {
        text.push_str(&format!("={}", addrs.join(",")));
    }
    text
}

fn nic(Nic { name, force, addrs }: &Nic) -> String {
    let addrs: Vec<String> = addrs.iter().map(|addr| addr.value.to_string()).collect();
    nic_text(&name.value, force.is_some(), &addrs)
}

fn route(route: &Route) -> String {
    let destination = route.destination.value;
    match &route.hop.value {
        Hop::Node(name) => format!("route({destination} via={})", plain_or_quoted(name)),
        Hop::Addr(addr) => format!("route({destination} via={addr})"),
        Hop::Wire(name) => format!("route({destination} dev={})", plain_or_quoted(name)),
    }
}

fn nat(nat: &Nat) -> String {
    let net = plain_or_quoted(&nat.net.value);
    match nat.from.as_ref().map(|from| &from.value) {
        None => format!("nat({net})"),
        Some(Origin::Net(from)) => format!("nat({net} from={})", plain_or_quoted(from)),
        Some(Origin::Subnet(from)) => format!("nat({net} from={from})"),
    }
}

fn dnat(dnat: &Dnat) -> String {
    let mut text = format!("dnat({}/{} -> ", dnat.port.value, dnat.proto);
    text.push_str(&match &dnat.target.value {
        Target::Node(name) => plain_or_quoted(name),
        Target::Addr(IpAddr::V4(addr)) => addr.to_string(),
        Target::Addr(IpAddr::V6(addr)) => format!("[{addr}]"),
    });
    if let Some(port) = dnat.target_port {
        text.push_str(&format!(":{}", port.value));
    }
    if let Some(from) = &dnat.from {
        text.push_str(&format!(" from={}", plain_or_quoted(&from.value)));
    }
    text.push(')');
    text
}

fn sysctl(Sysctl { key, value }: &Sysctl) -> String {
    sysctl_text(&key.value, &value.value)
}

/// A sysctl from its key and its value.
pub(crate) fn sysctl_text(key: &str, value: &str) -> String {
    let words_stay = !value.is_empty()
        && value.split(' ').all(|word| {
            !word.is_empty()
                && !word.contains(['(', ')', ';', '#', '\'', '"'])
                && !word.contains(char::is_whitespace)
        });
    let key = one_word(key);
    format!("sysctl({key}={})", if words_stay { value.to_owned() } else { quote(value) })
}

/// A name as it is, or in quotes where it could be taken for something else.
pub(crate) fn plain_or_quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if plain { name.to_owned() } else { quote(name) }
}

/// A value of any kind, given as text: one word of the language, right or wrong.
pub(crate) fn one_word(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains(is_special) && !text.contains("->");
    if plain { text.to_owned() } else { quote(text) }
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\'' | '\\' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}
