//! nf_tables as text (`NFT_MSG_GETTABLE`, `GETCHAIN`, `GETRULE`).

use std::fmt::Write as _;
use std::io;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, NfTablesMessage, RuleAttribute,
    RuleMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use super::expression;
use crate::kernel::NetlinkSocket;

/// Everything in nf_tables in the namespace of a socket of `NETLINK_NETFILTER`, as lines like those of `nft list ruleset`.
/// A kernel without nf_tables has none.
pub(crate) fn ruleset(socket: &mut NetlinkSocket) -> io::Result<Vec<String>> {
    let tables = match dump(socket, || NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() })) {
        Ok(tables) => tables,
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let chains = dump(socket, || NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() }))?;
    let rules = dump(socket, || NfTablesMessage::GetRule(RuleMessage { attributes: Vec::new() }))?;
    let mut lines = Vec::new();
    for (family, table) in &tables {
        let NfTablesMessage::NewTable(table) = table else { continue };
        let Some(table) = table.attributes.iter().find_map(|attribute| match attribute {
            TableAttribute::Name(name) => Some(name),
            _ => None,
        }) else {
            continue;
        };
        lines.push(format!("table {} {table} {{", family_name(*family)));
        for chain in
            chains.iter().filter_map(|(of, chain)| (of == family).then(|| Chain::of(chain, table))?)
        {
            lines.push(format!("\tchain {} {{", chain.name));
            lines.extend(chain.head().map(|head| format!("\t\t{head}")));
            for rule in rules
                .iter()
                .filter_map(|(of, rule)| (of == family).then(|| rule_of(rule, table, chain.name))?)
            {
                lines.push(format!("\t\t{rule}"));
            }
            lines.push("\t}".to_owned());
        }
        lines.push("}".to_owned());
    }
    Ok(lines)
}

fn dump(
    socket: &mut NetlinkSocket,
    request: impl Fn() -> NfTablesMessage,
) -> io::Result<Vec<(NetfilterProtoFamily, NfTablesMessage)>> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let messages = socket.dump(|| NetfilterMessage::new(header.clone(), request()))?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message.inner {
            NetfilterMessageInner::NfTables(inner) => Some((message.header.family, inner)),
            _ => None,
        })
        .collect())
}

fn family_name(family: NetfilterProtoFamily) -> String {
    match family {
        NetfilterProtoFamily::Inet => "inet".to_owned(),
        NetfilterProtoFamily::IPv4 => "ip".to_owned(),
        NetfilterProtoFamily::IPv6 => "ip6".to_owned(),
        NetfilterProtoFamily::ARP => "arp".to_owned(),
        NetfilterProtoFamily::Bridge => "bridge".to_owned(),
        NetfilterProtoFamily::NetDev => "netdev".to_owned(),
        other => u8::from(other).to_string(),
    }
}

struct Chain<'a> {
    name: &'a str,
    kind: Option<&'a str>,
    hook: Option<InetHookNumber>,
    priority: i32,
    policy: Option<u32>,
}

impl<'a> Chain<'a> {
    /// The chain in `message`, if it belongs to `table`.
    fn of(message: &'a NfTablesMessage, table: &str) -> Option<Self> {
        let NfTablesMessage::NewChain(message) = message else { return None };
        let mut chain = Self { name: "", kind: None, hook: None, priority: 0, policy: None };
        let mut belongs = false;
        for attribute in &message.attributes {
            match attribute {
                ChainAttribute::Table(name) => belongs = name == table,
                ChainAttribute::Name(name) => chain.name = name,
                ChainAttribute::Type(kind) => chain.kind = Some(kind),
                ChainAttribute::Policy(policy) => chain.policy = Some(*policy),
                ChainAttribute::Hook(hooks) => {
                    for hook in hooks {
                        match hook {
                            Hook::Number(HookNumber::Inet(number)) => chain.hook = Some(*number),
                            Hook::Priority(priority) => chain.priority = priority.cast_signed(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        belongs.then_some(chain)
    }

    /// What a base chain starts with.
    fn head(&self) -> Option<String> {
        let hook = match self.hook? {
            InetHookNumber::PreRouting => "prerouting",
            InetHookNumber::LocalIn => "input",
            InetHookNumber::Forward => "forward",
            InetHookNumber::LocalOut => "output",
            InetHookNumber::PostRouting => "postrouting",
            _ => "ingress",
        };
        let kind = self.kind.unwrap_or("filter");
        // `NF_DROP` is 0 and `NF_ACCEPT` 1, `include/uapi/linux/netfilter.h`.
        let policy = if self.policy == Some(0) { "drop" } else { "accept" };
        Some(format!("type {kind} hook {hook} priority {}; policy {policy};", self.priority))
    }
}

/// The rule in `message`, if it belongs to the chain.
fn rule_of(message: &NfTablesMessage, table: &str, chain: &str) -> Option<String> {
    let NfTablesMessage::NewRule(message) = message else { return None };
    let mut text = String::new();
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Table(name) if name != table => return None,
            RuleAttribute::Chain(name) if name != chain => return None,
            RuleAttribute::Expressions(expressions) => {
                for part in expression::describe(expressions) {
                    let space = if text.is_empty() { "" } else { " " };
                    write!(text, "{space}{part}").expect("a string takes all that is written to it");
                }
            }
            _ => {}
        }
    }
    Some(text)
}
