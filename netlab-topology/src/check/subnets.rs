//! The subnets of nets and links: those written are checked, the others chosen.
//!
//! What is chosen is a function of the text alone, so the same topology has the same addresses every time.

use std::collections::BTreeMap;

use super::address::{FAMILIES, Subnet, family_name, unusable};
use super::draft::Draft;
use crate::diagnostic::{Report, Span, Spanned};
use crate::model::AttachmentAddr;
use crate::plan::{Family, Wire};

use ipnet::IpNet;

/// Where subnets are chosen from: documentation (RFC 5737), benchmarking (RFC 2544), documentation (RFC 3849).
/// None of them is in use anywhere, so a mistake leads nowhere.
const POOLS: [&str; 5] =
    ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32"];

/// Gives every net and link its subnets.
pub(super) fn choose(draft: &mut Draft<'_>, report: &mut Report) {
    let mut taken = Taken::default();
    let mut written: Vec<(Subnet, Span, String)> = Vec::new();
    for i in 0..draft.nets.len() {
        let statement = draft.nets[i].statement;
        let name = &statement.name.value;
        let (subnets, broken) = check(&statement.subnets, report);
        written.extend(subnets.iter().map(|(subnet, span)| (*subnet, *span, format!("net `{name}`"))));
        draft.nets[i].subnets = subnets.into_iter().map(|(subnet, _)| subnet).collect();
        draft.nets[i].broken |= broken;
    }
    for link in &mut draft.links {
        let (subnets, broken) = check(&link.statement.subnets, report);
        let name = &link.name;
        written.extend(subnets.iter().map(|(subnet, span)| (*subnet, *span, format!("link `{name}`"))));
        link.broken |= broken;
        for (subnet, span) in subnets {
            if subnet.usable().end() == subnet.usable().start() {
                report.error(
                    span,
                    "this subnet is too small for a link",
                    "it has one address, a link has two ends",
                );
                link.broken = true;
            }
            link.subnets.push(subnet);
        }
    }
    overlaps(&written, &mut taken, report);
    nics(draft, &mut taken, report);

    for i in 0..draft.nets.len() {
        // A network that is there already has its own subnets.
        let this = &draft.nets[i];
        if !this.statement.subnets.is_empty() || this.broken || this.is_shared() {
            continue;
        }
        for (family, highest) in needs(draft, i) {
            let prefix = match family {
                Family::V4 => prefix_for(highest),
                Family::V6 => 64,
            };
            match taken.take(family, prefix) {
                Some(subnet) => draft.nets[i].subnets.push(subnet),
                None => {
                    exhausted(draft.nets[i].statement.name.span, report);
                    draft.nets[i].broken = true;
                }
            }
        }
    }
    for link in &mut draft.links {
        if link.statement.subnets.is_empty() && !link.broken {
            match taken.take(Family::V4, 30) {
                Some(subnet) => link.subnets.push(subnet),
                None => {
                    exhausted(link.statement.nodes[0].span, report);
                    link.broken = true;
                }
            }
        }
    }
}

fn exhausted(span: Span, report: &mut Report) {
    let pools = POOLS[..4].join(", ");
    report
        .error(span, "no subnet is left to choose", format!("all of {pools} is taken or too small"))
        .help("write a subnet, as in `10.0.0.0/16`");
}

/// The subnets that are right, and whether any is wrong.
fn check(written: &[Spanned<IpNet>], report: &mut Report) -> (Vec<(Subnet, Span)>, bool) {
    let mut good = Vec::new();
    for Spanned { value, span } in written {
        let subnet = Subnet::of(*value);
        if value.addr() != value.network() {
            let label = format!("the subnet of that address is `{}`", subnet.net());
            report.error(*span, format!("`{value}` is no subnet, but an address in one"), label);
        } else if let Some(why) = unusable(subnet) {
            report.error(*span, format!("`{value}` cannot be the subnet of nodes"), why);
        } else {
            good.push((subnet, *span));
        }
    }
    let broken = good.len() < written.len();
    (good, broken)
}

/// Every node of a lab reaches every other by one address, so no two subnets share any.
fn overlaps(written: &[(Subnet, Span, String)], taken: &mut Taken, report: &mut Report) {
    for (subnet, span, _) in written {
        if let Some(other) = taken.find(*subnet) {
            // Which one it was is looked up only now, so that the good case stays fast.
            let first = written.iter().find(|(s, at, _)| *s == other && at != span);
            let label = match first {
                Some((_, at, name)) => {
                    format!("`{}` is that of {name} on line {}", other.net(), report.line(*at))
                }
                None => format!("`{}` is taken", other.net()),
            };
            report
                .error(*span, format!("`{}` overlaps another subnet", subnet.net()), label)
                .help("every net and link needs addresses of its own");
        } else {
            taken.add(*subnet);
        }
    }
}

/// Gives interfaces of the machine in nodes the subnets of their addresses.
///
/// Several may be on the same network, and a net may be joined to it; a net of the lab's own cannot have its subnet.
fn nics(draft: &mut Draft<'_>, taken: &mut Taken, report: &mut Report) {
    for at in 0..draft.nics.len() {
        let Some((node, interface)) = draft.nics[at].end else { continue };
        let addrs = draft.nodes[node].interfaces[interface].nic.map_or(&[][..], |nic| &nic.addrs);
        for Spanned { value, span } in addrs {
            let subnet = Subnet::of(*value);
            let nets = draft.nets.iter().filter(|net| {
                let uplink = &net.statement.uplink;
                uplink.port.is_none() && uplink.dev.is_none()
            });
            let nets = nets.flat_map(|net| net.subnets.iter().map(|s| (s, &net.statement.name.value)));
            let links = draft.links.iter().flat_map(|link| link.subnets.iter().map(|s| (s, &link.name)));
            if let Some((other, name)) = nets.chain(links).find(|(other, _)| other.overlaps(subnet)) {
                let label = format!("`{}` is that of `{name}`, which is the lab's own", other.net());
                report.error(*span, format!("`{}` overlaps another subnet", subnet.net()), label);
            }
            taken.foreign.push(subnet);
            if !draft.nics[at].subnets.contains(&subnet) {
                draft.nics[at].subnets.push(subnet);
            }
        }
    }
}

/// The families a net without a subnet needs, with the highest number of a host there.
fn needs(draft: &Draft<'_>, net: usize) -> Vec<(Family, u128)> {
    let mut highest: BTreeMap<Family, u128> = BTreeMap::new();
    let mut unwritten = 0;
    for &(node, interface) in &draft.nets[net].members {
        let node = &draft.nodes[node];
        let addrs = node.interfaces[interface].attachment.map_or(&[][..], |a| &a.addrs);
        if addrs.is_empty() {
            unwritten += 1;
        }
        for addr in addrs {
            let (family, number) = match addr.value {
                AttachmentAddr::Host(part) => (part.family(), part.number() + u128::from(node.member)),
                AttachmentAddr::Full(addr) => (Family::of(addr), 0),
            };
            let entry = highest.entry(family).or_default();
            *entry = number.max(*entry);
        }
    }
    if unwritten > 0 || highest.is_empty() {
        highest.entry(Family::V4).or_default();
    }
    let members = draft.nets[net].members.len() as u128;
    FAMILIES.iter().filter_map(|f| highest.get(f).map(|h| (*f, members.max(*h)))).collect()
}

/// Length of the longest prefix, at most 24, that has an IPv4 address with this number.
fn prefix_for(highest: u128) -> u8 {
    let mut prefix = 24;
    while prefix > 0 && highest > (1 << (32 - u32::from(prefix))) - 2 {
        prefix -= 1;
    }
    prefix
}

/// The subnets in use, none of which overlaps another.
#[derive(Debug, Default)]
struct Taken {
    /// By their first address.
    subnets: BTreeMap<(Family, u128), Subnet>,
    /// Those of interfaces of the machine, which may overlap.
    foreign: Vec<Subnet>,
    /// Where to go on looking: subnets are never given back, so what is before stays taken.
    cursors: BTreeMap<(Family, u8, usize), u128>,
}

impl Taken {
    /// One that overlaps.
    fn find(&self, subnet: Subnet) -> Option<Subnet> {
        let family = subnet.family;
        let candidate = self.subnets.range((family, 0)..=(family, subnet.last())).next_back();
        let own = candidate.map(|(_, candidate)| candidate).filter(|candidate| candidate.overlaps(subnet));
        own.or_else(|| self.foreign.iter().find(|foreign| foreign.overlaps(subnet))).copied()
    }

    fn add(&mut self, subnet: Subnet) {
        self.subnets.insert((subnet.family, subnet.first), subnet);
    }

    /// Takes the first free subnet of this length from the pools.
    fn take(&mut self, family: Family, prefix: u8) -> Option<Subnet> {
        for (i, pool) in POOLS.iter().enumerate() {
            let pool = Subnet::of(pool.parse().ok()?);
            if pool.family != family || pool.prefix > prefix {
                continue;
            }
            let mut first = self.cursors.get(&(family, prefix, i)).copied().unwrap_or(pool.first);
            while first <= pool.last() {
                let subnet = Subnet { family, first, prefix };
                match self.find(subnet) {
                    None => {
                        self.add(subnet);
                        self.cursors.insert((family, prefix, i), subnet.last() + 1);
                        return Some(subnet);
                    }
                    // Both are aligned to their size, so the next one to try begins behind the larger.
                    Some(other) => first = other.last().max(subnet.last()) + 1,
                }
            }
            self.cursors.insert((family, prefix, i), first);
        }
        None
    }
}

/// The subnet of a wire in a family.
pub(super) fn of_family(draft: &Draft<'_>, wire: Wire, family: Family) -> Option<Subnet> {
    draft.subnets(wire).iter().copied().find(|subnet| subnet.family == family)
}

/// How errors call the family a wire lacks.
pub(super) fn lacks(draft: &Draft<'_>, wire: Wire, family: Family) -> String {
    format!("`{}` has no {} subnet", draft.wire_name(wire), family_name(family))
}
