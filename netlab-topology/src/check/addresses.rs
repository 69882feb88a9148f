//! The addresses of interfaces: those written are checked, the others assigned in order of declaration.

use std::collections::btree_map::{BTreeMap, Entry};

use super::address::{FAMILIES, Subnet};
use super::draft::{Draft, Node};
use super::subnets;
use crate::diagnostic::{Report, Span, Spanned};
use crate::model::AttachmentAddr;
use crate::plan::{Family, Wire};

/// Gives every interface its addresses, those of IPv4 first.
pub(super) fn assign(draft: &mut Draft<'_>, report: &mut Report) {
    for net in 0..draft.nets.len() {
        if draft.nets[net].broken {
            for (node, _) in draft.nets[net].members.clone() {
                draft.nodes[node].broken = true;
            }
            continue;
        }
        check_families(draft, net, report);
        for family in FAMILIES {
            if let Some(subnet) = subnets::of_family(draft, Wire::Net(net), family) {
                let taken = assign_written(draft, net, subnet, report);
                assign_free(draft, net, subnet, &taken, report);
            }
        }
    }
    for link in &draft.links {
        if link.broken {
            for (node, _) in link.ends {
                draft.nodes[node].broken = true;
            }
            continue;
        }
        for subnet in &link.subnets {
            let first = *subnet.usable().start();
            for ((node, interface), host) in link.ends.into_iter().zip([first, first + 1]) {
                draft.nodes[node].interfaces[interface].addrs.push(subnet.addr(host));
            }
        }
    }
}

fn family_of(addr: AttachmentAddr) -> Family {
    match addr {
        AttachmentAddr::Full(addr) => Family::of(addr),
        AttachmentAddr::Host(part) => part.family(),
    }
}

/// The addresses that a node's attachment writes.
fn written<'t>(node: &Node<'t>, interface: usize) -> &'t [Spanned<AttachmentAddr>] {
    node.interfaces[interface].attachment.map_or(&[], |attachment| &attachment.addrs)
}

/// Finds addresses of a family that their net does not have.
fn check_families(draft: &Draft<'_>, net: usize, report: &mut Report) {
    let wire = Wire::Net(net);
    for &(node, interface) in &draft.nets[net].members {
        let node = &draft.nodes[node];
        for addr in written(node, interface).iter().filter(|_| node.speaks()) {
            let family = family_of(addr.value);
            if subnets::of_family(draft, wire, family).is_none() {
                let label = subnets::lacks(draft, wire, family);
                let name = &draft.nets[net].statement.name;
                let line = report.line(name.span);
                report
                    .error(addr.span, format!("this address is not in `{}`", name.value), label)
                    .help(format!("give the net such a subnet, on line {line}"));
            }
        }
    }
}

/// Gives the addresses that are written; the answer is what is taken.
fn assign_written(
    draft: &mut Draft<'_>,
    net: usize,
    subnet: Subnet,
    report: &mut Report,
) -> BTreeMap<u128, (usize, Span)> {
    let mut taken: BTreeMap<u128, (usize, Span)> = BTreeMap::new();
    // One error for an address that is written, not one for each member of an array.
    let mut reported: Option<Span> = None;
    for at in 0..draft.nets[net].members.len() {
        let (node, interface) = draft.nets[net].members[at];
        for addr in written(&draft.nodes[node], interface) {
            if family_of(addr.value) != subnet.family || reported == Some(addr.span) {
                continue;
            }
            let Some(host) = host_number(draft, node, net, subnet, *addr, report) else {
                reported = Some(addr.span);
                continue;
            };
            match taken.entry(host) {
                Entry::Vacant(entry) => {
                    entry.insert((node, addr.span));
                    draft.nodes[node].interfaces[interface].addrs.push(subnet.addr(host));
                }
                Entry::Occupied(entry) => {
                    let (other, span) = *entry.get();
                    let message = format!("`{}` is used twice", subnet.addr(host).addr());
                    let label = format!(
                        "`{}` and, on line {}, `{}`",
                        draft.nodes[node].name,
                        report.line(span),
                        draft.nodes[other].name
                    );
                    report.error(addr.span, message, label);
                    reported = Some(addr.span);
                }
            }
        }
    }
    taken
}

/// The number in its subnet that a written address gives a node; members of an array count up from it.
fn host_number(
    draft: &Draft<'_>,
    node: usize,
    net: usize,
    subnet: Subnet,
    addr: Spanned<AttachmentAddr>,
    report: &mut Report,
) -> Option<u128> {
    let member = u128::from(draft.nodes[node].member);
    let first = match addr.value {
        AttachmentAddr::Full(addr) => subnet.number_of(addr),
        AttachmentAddr::Host(part) => Some(part.number()).filter(|n| *n <= subnet.last() - subnet.first),
    };
    let usable = subnet.usable();
    if let Some(host) = first.and_then(|first| first.checked_add(member)).filter(|host| usable.contains(host))
    {
        return Some(host);
    }
    let name = &draft.nets[net].statement.name.value;
    let range = format!("{} to {}", subnet.addr(*usable.start()).addr(), subnet.addr(*usable.end()).addr());
    if member > 0 {
        let label = format!(
            "there is no address left for `{}`: {} has {range}",
            draft.nodes[node].name,
            subnet.net()
        );
        report.error(addr.span, format!("this array counts past the end of `{name}`"), label);
        return None;
    }
    let label = format!("addresses of {}: {range}", subnet.net());
    let message = match (first, subnet.family) {
        (None, _) => format!("this address is not in `{name}`"),
        (Some(0), Family::V4) => format!("this is the network address of `{name}`"),
        (Some(_), Family::V4) => format!("this is the broadcast address of `{name}`"),
        (Some(_), Family::V6) => format!("this is the subnet-router anycast address of `{name}`"),
    };
    report.error(addr.span, message, label);
    None
}

/// Gives the lowest free addresses to those that write none of this family.
fn assign_free(
    draft: &mut Draft<'_>,
    net: usize,
    subnet: Subnet,
    taken: &BTreeMap<u128, (usize, Span)>,
    report: &mut Report,
) {
    let mut free = subnet.usable().filter(|host| !taken.contains_key(host));
    for at in 0..draft.nets[net].members.len() {
        let (node, interface) = draft.nets[net].members[at];
        if written(&draft.nodes[node], interface).iter().any(|addr| family_of(addr.value) == subnet.family) {
            continue;
        }
        let Some(host) = free.next() else {
            let name = &draft.nets[net].statement.name.value;
            let members = draft.nets[net].members.len();
            let span = draft.nodes[node].interfaces[interface].span;
            let usable = subnet.usable();
            let label = format!(
                "no address is left for `{}`: {} has {} for {members} nodes",
                draft.nodes[node].name,
                subnet.net(),
                usable.end() - usable.start() + 1,
            );
            report
                .error(span, format!("the net `{name}` is too small"), label)
                .help("give the net a larger subnet, or none, so that one large enough is chosen");
            return;
        };
        draft.nodes[node].interfaces[interface].addrs.push(subnet.addr(host));
    }
}
