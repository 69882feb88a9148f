//! The rules of a node as ops: with nf_tables, or with iptables where the topology or the machine's owner wants that.

use super::draft::{Draft, Rule};
use super::steps::families;
use crate::model::Firewall;
use crate::plan::{Action, Family, Hook, Iptables, Match, Nft, Op, Plan, Table, Wire};

/// A rule before it is known what it is made with.
struct Made {
    hook: Hook,
    matches: Vec<Match>,
    action: Action,
    /// The families it can act in.
    families: Vec<Family>,
}

/// All ops that make a node's rules.
pub(super) fn of_node(plan: &Plan, draft: &Draft<'_>, node: usize) -> Vec<Op> {
    let mut rules = translations(plan, draft, node);
    let this = &draft.nodes[node];
    if this.is_real() {
        rules.extend(admissions(plan, draft));
        return with_iptables(&rules);
    }
    let firewall = this.statement.and_then(|statement| statement.attributes.firewall);
    match firewall.map(|firewall| firewall.value) {
        Some(Firewall::Iptables) => with_iptables(&rules),
        Some(Firewall::Nft) | None => with_nft(rules),
    }
}

/// What `nat` and `dnat` say.
fn translations(plan: &Plan, draft: &Draft<'_>, node: usize) -> Vec<Made> {
    let name = |interface: usize| plan.nodes[node].interfaces[interface].dev.name.clone();
    let mut list = Vec::new();
    for rule in &draft.nodes[node].rules {
        match *rule {
            Rule::Masquerade { out, source } => {
                let mut matches = vec![Match::OutgoingInterface(name(out))];
                matches.extend(source.map(Match::Source));
                let families = match source {
                    Some(source) => vec![Family::of(source.addr())],
                    None => families(draft, node),
                };
                list.push(Made { hook: Hook::Postrouting, matches, action: Action::Masquerade, families });
            }
            Rule::Dnat { from, proto, port, addr, to_port } => {
                let action = Action::Dnat { addr, port: to_port };
                // What this node sends itself arrives on no interface.
                let hooks = match from {
                    None => &[Hook::Prerouting, Hook::Output][..],
                    Some(_) => &[Hook::Prerouting],
                };
                for hook in hooks {
                    let mut matches = Vec::new();
                    matches.extend(from.map(|from| Match::IncomingInterface(name(from))));
                    matches.extend([Match::ToLocalAddress, Match::DestinationPort(proto, port)]);
                    list.push(Made { hook: *hook, matches, action, families: vec![Family::of(addr)] });
                }
            }
        }
    }
    list
}

/// What the machine's own firewall has to let pass, whatever else it drops: what the lab's nodes send to the machine, and through
/// it if it forwards.
///
/// Where others are on a net too, that is what comes from nodes and goes to nodes: its firewall is not opened to
/// the network behind an interface of it.
fn admissions(plan: &Plan, draft: &Draft<'_>) -> Vec<Made> {
    let mut list = Vec::new();
    let mut accept = |hook: Hook, family: Family, matches: Vec<Match>| {
        list.push(Made { hook, matches, action: Action::Accept, families: vec![family] });
    };
    for interface in plan.nodes[0].interfaces.iter().filter(|i| !i.dev.is_of_the_machine()) {
        let others = matches!(interface.wire, Wire::Net(net) if draft.nic_of(net).is_some());
        for source in draft.sources(interface.wire) {
            let family = Family::of(source.addr());
            let mut from = vec![Match::IncomingInterface(interface.dev.name.clone())];
            let mut to = vec![Match::OutgoingInterface(interface.dev.name.clone())];
            if others {
                from.push(Match::Source(source));
                to.push(Match::Destination(source.addr()));
            }
            accept(Hook::Input, family, from.clone());
            if plan.nodes[0].forwards {
                accept(Hook::Forward, family, from);
                accept(Hook::Forward, family, to);
            }
        }
    }
    list
}

fn with_nft(rules: Vec<Made>) -> Vec<Op> {
    if rules.is_empty() {
        return Vec::new();
    }
    let mut ops = vec![Op::Nft(Nft::AddTable)];
    for hook in [Hook::Prerouting, Hook::Output, Hook::Postrouting] {
        if rules.iter().any(|rule| rule.hook == hook) {
            ops.push(Op::Nft(Nft::AddNatChain { hook }));
        }
    }
    let add = |Made { hook, matches, action, .. }: Made| Op::Nft(Nft::AddRule { hook, matches, action });
    ops.extend(rules.into_iter().map(add));
    ops
}

/// One program after the other, chain by chain.
fn with_iptables(rules: &[Made]) -> Vec<Op> {
    let mut ops = Vec::new();
    for family in super::address::FAMILIES {
        for hook in [Hook::Input, Hook::Forward, Hook::Prerouting, Hook::Output, Hook::Postrouting] {
            let table = table(hook);
            let mut here = rules.iter().filter(|r| r.hook == hook && r.families.contains(&family)).peekable();
            if here.peek().is_some() {
                ops.push(Op::Iptables(Iptables::AddChain { family, table, hook }));
            }
            ops.extend(here.map(|Made { matches, action, .. }| {
                let matches = matches.clone();
                Op::Iptables(Iptables::AddRule { family, table, hook, matches, action: *action })
            }));
        }
    }
    ops
}

fn table(hook: Hook) -> Table {
    match hook {
        Hook::Input | Hook::Forward => Table::Filter,
        Hook::Prerouting | Hook::Output | Hook::Postrouting => Table::Nat,
    }
}
