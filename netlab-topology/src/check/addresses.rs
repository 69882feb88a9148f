//! The addresses of interfaces: those written are checked, the others assigned in order of declaration.

use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{FAMILIES, Subnet, unusable};
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
        for node in check_families(draft, net, report) {
            draft.nodes[node].broken = true;
        }
        for family in FAMILIES {
            if let Some(subnet) = subnets::of_family(draft, Wire::Net(net), family) {
                let taken = assign_written(draft, net, subnet, report);
                if !draft.nets[net].is_somebodys() {
                    assign_free(draft, net, subnet, &taken, report);
                }
            }
        }
        if draft.nets[net].is_somebodys() {
            all_written(draft, net, report);
        }
    }
    check_machines(draft, report);
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
    nics(draft, report);
}

/// Finds addresses written for what has those of an interface of the machine.
fn check_machines(draft: &Draft<'_>, report: &mut Report) {
    for interface in 0..draft.nodes[0].interfaces.len() {
        let wire = draft.nodes[0].interfaces[interface].wire;
        let Wire::Net(net) = wire else { continue };
        if let (true, Some(nic)) = (draft.has_the_machines(0, wire), draft.nic_of(net)) {
            for addr in written(&draft.nodes[0], interface) {
                let name = &nic.name.value;
                let label = match draft.nets[net].is_shared() {
                    true => format!("it is on this net by `{name}`, which stays as it is"),
                    false => format!("its bridge takes over those of `{name}`"),
                };
                report.error(addr.span, "the host has the machine's own addresses here", label);
            }
        }
    }
}

/// Finds nodes that would get an address on somebody's network by chance.
fn all_written(draft: &Draft<'_>, net: usize, report: &mut Report) {
    let this = &draft.nets[net];
    for &(at, interface) in &this.members {
        let node = &draft.nodes[at];
        let span = node.interfaces[interface].span;
        if written(node, interface).is_empty() && node.speaks() && !draft.has_the_machines(at, Wire::Net(net))
        {
            let (name, nic) = (&this.statement.name.value, draft.nic_of(net).map(|nic| &nic.name.value));
            let nic = nic.map_or("", String::as_str);
            let label = format!("`{name}` is what the machine's `{nic}` is on, where others have addresses");
            report
                .error(span, format!("an address for `{}` has to be written", node.name), label)
                .help(format!("write one that is free there, as in `{name}=.200`"));
        }
    }
}

/// Checks and gives the addresses of interfaces of the machine in nodes.
fn nics(draft: &mut Draft<'_>, report: &mut Report) {
    let mut taken: BTreeMap<IpAddr, usize> = BTreeMap::new();
    if draft.nics.iter().any(|nic| nic.end.is_some()) {
        for (node, this) in draft.nodes.iter().enumerate() {
            let addrs = this.interfaces.iter().flat_map(|interface| &interface.addrs);
            taken.extend(addrs.map(|addr| (addr.addr(), node)));
        }
    }
    for at in 0..draft.nics.len() {
        let Some((node, interface)) = draft.nics[at].end else { continue };
        let addrs = draft.nodes[node].interfaces[interface].nic.map_or(&[][..], |nic| &nic.addrs);
        let mut good = Vec::new();
        for Spanned { value, span } in addrs {
            let subnet = Subnet::of(*value);
            let number = subnet.number_of(value.addr());
            if let Some(why) = unusable(Subnet::of(IpNet::from(value.addr()))) {
                report.error(*span, format!("`{}` cannot be the address of a node", value.addr()), why);
            } else if !number.is_some_and(|number| subnet.usable().contains(&number)) {
                let usable = subnet.usable();
                let (first, last) = (subnet.addr(*usable.start()), subnet.addr(*usable.end()));
                let what = match (number, subnet.family) {
                    (Some(0), Family::V4) => "network",
                    (_, Family::V4) => "broadcast",
                    (_, Family::V6) => "subnet-router anycast",
                };
                let label = format!("addresses of {}: {} to {}", subnet.net(), first.addr(), last.addr());
                report.error(*span, format!("this is the {what} address of `{}`", subnet.net()), label);
            } else if let Some(other) = taken.get(&value.addr()) {
                let label = format!("`{}` has it already", draft.nodes[*other].name);
                report.error(*span, format!("`{}` is used twice", value.addr()), label);
            } else {
                taken.insert(value.addr(), node);
                good.push(*value);
            }
        }
        good.sort_by_key(|addr| addr.addr().is_ipv6());
        draft.nodes[node].broken |= good.len() < addrs.len();
        draft.nodes[node].interfaces[interface].addrs = good;
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

/// Finds addresses of a family that their net does not have; the answer is whose they are.
fn check_families(draft: &Draft<'_>, net: usize, report: &mut Report) -> Vec<usize> {
    let mut without = Vec::new();
    let wire = Wire::Net(net);
    for &(at, interface) in &draft.nets[net].members {
        let node = &draft.nodes[at];
        let machines = draft.has_the_machines(at, wire);
        for addr in written(node, interface).iter().filter(|_| node.speaks() && !machines) {
            let family = family_of(addr.value);
            if subnets::of_family(draft, wire, family).is_none() {
                without.push(at);
                let label = subnets::lacks(draft, wire, family);
                let name = &draft.nets[net].statement.name;
                let line = report.line(name.span);
                report
                    .error(addr.span, format!("this address is not in `{}`", name.value), label)
                    .help(format!("give the net such a subnet, on line {line}"));
            }
        }
    }
    without
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
        if draft.has_the_machines(node, Wire::Net(net)) {
            continue;
        }
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
        if draft.has_the_machines(node, Wire::Net(net))
            || written(&draft.nodes[node], interface)
                .iter()
                .any(|addr| family_of(addr.value) == subnet.family)
        {
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
