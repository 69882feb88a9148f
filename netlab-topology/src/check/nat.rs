//! Masquerading and DNAT: what they refer to, and the rules they become.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::FAMILIES;
use super::draft::{Draft, Rule};
use super::names::Names;
use crate::diagnostic::{Report, Span, Spanned};
use crate::model::{Dnat, Nat, Origin, Target};
use crate::plan::Wire;

/// Makes the rules of every node.
pub(super) fn resolve(draft: &mut Draft<'_>, names: &Names, report: &mut Report) {
    let islands = Islands::of(draft);
    let mut quiet = report.quiet();
    for node in 0..draft.nodes.len() {
        let Some(statement) = draft.nodes[node].statement else { continue };
        let report = if draft.nodes[node].speaks() { &mut *report } else { &mut quiet };
        let attributes = &statement.attributes;
        for (i, nat) in attributes.nats.iter().enumerate() {
            if attributes.nats[..i].contains(nat) {
                report.error(nat.span, "`nat` is given twice", "the same again");
            } else if let Some(rules) = masquerade(draft, names, node, &nat.value, report) {
                let (wire, mut rules) = rules;
                draft.nodes[node].hidden_behind.push(wire);
                draft.nodes[node].rules.append(&mut rules);
            } else {
                draft.nodes[node].broken = true;
            }
        }
        for (i, dnat) in attributes.dnats.iter().enumerate() {
            if let Some(first) = attributes.dnats[..i].iter().find(|first| shadows(&first.value, &dnat.value))
            {
                let message = format!("`{}/{}` is passed on twice", dnat.value.port.value, dnat.value.proto);
                let label = format!("the rule on line {} acts first", report.line(first.span));
                report.error(dnat.value.port.span, message, label);
                continue;
            }
            let mut rules = pass_on(draft, names, &islands, node, &dnat.value, report);
            draft.nodes[node].rules.append(&mut rules);
        }
    }
}

/// Whether what `second` is for never gets past `first`.
fn shadows(first: &Dnat, second: &Dnat) -> bool {
    (first.port, first.proto) == (second.port, second.proto)
        && (first.from.is_none() || first.from == second.from)
}

/// The interface of a node on a wire that one of its attributes names; an error when it has none.
fn own_wire(
    draft: &Draft<'_>,
    names: &Names,
    node: usize,
    name: &Spanned<String>,
    report: &mut Report,
) -> Option<(Wire, usize)> {
    let wire = names.wire(name, draft, report)?;
    let interface = draft.nodes[node].index_on(wire);
    if interface.is_none() && !draft.nodes[node].broken {
        let message = format!("`{}` is not on `{}`", draft.nodes[node].name, name.value);
        report.error(name.span, message, draft.wires_of(node));
    }
    Some((wire, interface?))
}

fn masquerade(
    draft: &Draft<'_>,
    names: &Names,
    node: usize,
    nat: &Nat,
    report: &mut Report,
) -> Option<(Wire, Vec<Rule>)> {
    // Both are resolved before either may fail.
    let out = own_wire(draft, names, node, &nat.net, report);
    let sources: Option<Vec<Option<IpNet>>> = match &nat.from {
        // The machine forwards for others too.
        None if draft.nodes[node].is_real() => out.map(|(wire, _)| labs_own(draft, wire)),
        None => Some(vec![None]),
        Some(Spanned { value: Origin::Subnet(subnet), span }) => {
            check_subnet(*subnet, *span, report).then(|| vec![Some(*subnet)])
        }
        Some(Spanned { value: Origin::Net(name), span }) => names
            .wire(&Spanned::new(name.clone(), *span), draft, report)
            .map(|wire| draft.subnets(wire).iter().map(|subnet| Some(subnet.net())).collect()),
    };
    let ((wire, out), sources) = (out?, sources?);
    Some((wire, sources.into_iter().map(|source| Rule::Masquerade { out, source }).collect()))
}

/// What comes from the lab, but for what is on a wire: subnets of its own, and addresses of its nodes where others are too.
fn labs_own(draft: &Draft<'_>, out: Wire) -> Vec<Option<IpNet>> {
    let nets = (0..draft.nets.len()).map(Wire::Net);
    let wires = nets.chain((0..draft.links.len()).map(Wire::Link)).filter(|wire| *wire != out);
    wires.flat_map(|wire| draft.sources(wire)).map(Some).collect()
}

/// Reports a subnet that has bits behind its prefix.
pub(super) fn check_subnet(subnet: IpNet, span: Span, report: &mut Report) -> bool {
    let right = subnet.addr() == subnet.network();
    if !right {
        let label = format!("the subnet of that address is `{}`", subnet.trunc());
        report.error(span, format!("`{subnet}` is no subnet, but an address in one"), label);
    }
    right
}

fn pass_on(
    draft: &Draft<'_>,
    names: &Names,
    islands: &Islands,
    node: usize,
    dnat: &Dnat,
    report: &mut Report,
) -> Vec<Rule> {
    let from = match &dnat.from {
        None => Some(None),
        Some(name) => own_wire(draft, names, node, name, report).map(|(_, interface)| Some(interface)),
    };
    let span = dnat.target.span;
    let addrs = match &dnat.target.value {
        Target::Addr(addr) => {
            if !is_known(draft, *addr) {
                let label = "no net, link or node of this topology has that address";
                report.error(span, format!("`{addr}` cannot be reached"), label);
            }
            vec![*addr]
        }
        Target::Node(name) => match names.node(&Spanned::new(name.clone(), span), draft, report) {
            Some(target) => node_addrs(draft, islands, node, target, span, report),
            None => Vec::new(),
        },
    };
    let Some(from) = from else { return Vec::new() };
    let (port, proto) = (dnat.port.value, dnat.proto);
    let to_port = dnat.target_port.map_or(port, |port| port.value);
    addrs.into_iter().map(|addr| Rule::Dnat { from, proto, port, addr, to_port }).collect()
}

/// The address of a target in each family: on a wire shared with the node if there is one.
fn node_addrs(
    draft: &Draft<'_>,
    islands: &Islands,
    node: usize,
    target: usize,
    span: Span,
    report: &mut Report,
) -> Vec<IpAddr> {
    let (from, to) = (&draft.nodes[node], &draft.nodes[target]);
    let addrs: Vec<IpAddr> = FAMILIES
        .into_iter()
        .filter_map(|family| {
            let near = from.interfaces.iter().find_map(|i| to.addr_on(i.wire, family));
            near.or_else(|| to.addr(family)).map(|addr| addr.addr())
        })
        .collect();
    if from.broken || to.broken {
        return addrs;
    }
    let message = format!("`{}` cannot be reached from `{}`", to.name, from.name);
    if addrs.is_empty() && to.interfaces.is_empty() {
        report.error(span, message, format!("`{}` is on no net", to.name));
    } else if !islands.same(node, target) {
        report.error(span, message, "no net or link leads there");
    } else if addrs.is_empty() {
        report
            .error(span, message, format!("the topology gives `{}` no address", to.name))
            .help("give it one, or write the address in its place");
    }
    addrs
}

/// Whether an address can belong to something in the lab.
fn is_known(draft: &Draft<'_>, addr: IpAddr) -> bool {
    draft.all_subnets().any(|subnet| subnet.contains(addr))
        || draft.nets.iter().any(|net| net.broken)
        || draft
            .nodes
            .iter()
            .filter_map(|node| node.statement)
            .any(|statement| statement.attributes.addrs.iter().any(|own| own.value.contains(&addr)))
}

/// Which nodes are connected, however many hops apart.
struct Islands {
    /// A node of the same island, itself when it stands for the island.
    parent: Vec<usize>,
}

impl Islands {
    fn of(draft: &Draft<'_>) -> Self {
        let mut islands = Self { parent: (0..draft.nodes.len()).collect() };
        let nets = (0..draft.nets.len()).map(Wire::Net);
        for wire in nets.chain((0..draft.links.len()).map(Wire::Link)) {
            for pair in draft.members(wire).windows(2) {
                let (a, b) = (islands.root(pair[0].0), islands.root(pair[1].0));
                islands.parent[a] = b;
            }
        }
        for node in 0..islands.parent.len() {
            islands.parent[node] = islands.root(node);
        }
        islands
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            // Halving the path keeps it short.
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    fn same(&self, a: usize, b: usize) -> bool {
        self.parent[a] == self.parent[b]
    }
}
