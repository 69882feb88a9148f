//! Routes: the default route through the only router in reach, what `via` and `route` say, and the extra
//! addresses of neighbours.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::{FAMILIES, Subnet, family_name, unusable};
use super::draft::{Draft, RouteDraft};
use super::names::Names;
use super::nat::check_subnet;
use crate::diagnostic::{Report, Span, Spanned, enumerate};
use crate::model::{Hop, Route, Via};
use crate::plan::{Family, Wire};

/// Gives every node its routes.
pub(super) fn resolve(draft: &mut Draft<'_>, names: &Names, report: &mut Report) {
    let gateways = Gateways::of(draft);
    let mut quiet = report.quiet();
    let mut default_hops = Vec::new();
    for node in 0..draft.nodes.len() {
        let report = if draft.nodes[node].speaks() { &mut *report } else { &mut quiet };
        let (mut routes, hops) = default_routes(draft, names, &gateways, node, report);
        default_hops.push(hops);
        if let Some(statement) = draft.nodes[node].statement {
            for route in &statement.attributes.routes {
                routes.extend(static_route(draft, names, node, &route.value, &routes, report));
            }
            extra_addrs(&statement.attributes.addrs, report);
        }
        draft.nodes[node].routes = routes;
    }
    to_extra_addrs(draft, &default_hops);
}

/// The whole of a family's space.
fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(),
        Family::V6 => Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Routers in reach, by the wire they are on.
struct Gateways {
    nets: Vec<Vec<usize>>,
    links: Vec<Vec<usize>>,
}

/// Most routers that an error would name; it does not take more to be ambiguous.
const MOST: usize = 13;

impl Gateways {
    /// A router that masquerades out of a net is none there: the outside does not route to what a NAT hides.
    fn of(draft: &Draft<'_>) -> Self {
        let on = |wire: Wire| -> Vec<usize> {
            let members = draft.members(wire).iter().map(|(node, _)| *node);
            members
                .filter(|node| {
                    draft.nodes[*node].forwards && !draft.nodes[*node].hidden_behind.contains(&wire)
                })
                .take(MOST + 1)
                .collect()
        };
        Self {
            nets: (0..draft.nets.len()).map(|net| on(Wire::Net(net))).collect(),
            links: (0..draft.links.len()).map(|link| on(Wire::Link(link))).collect(),
        }
    }

    fn on(&self, wire: Wire) -> &[usize] {
        match wire {
            Wire::Net(net) => &self.nets[net],
            Wire::Link(link) => &self.links[link],
            Wire::Nic(_) => &[],
        }
    }
}

/// Where a route leads: the next hop, its address there, and the interface.
#[derive(Clone, Copy, Debug)]
struct NextHop {
    node: Option<usize>,
    addr: IpAddr,
    interface: usize,
}

/// How a node reaches another on a wire they share, in a family.
fn shared(draft: &Draft<'_>, node: usize, other: usize, family: Family) -> Option<NextHop> {
    draft.nodes[node].interfaces.iter().enumerate().find_map(|(interface, own)| {
        own.addr(family)?;
        let addr = draft.nodes[other].addr_on(own.wire, family)?.addr();
        Some(NextHop { node: Some(other), addr, interface })
    })
}

/// The routers a node could have its default route through.
fn candidates(draft: &Draft<'_>, gateways: &Gateways, node: usize, family: Family) -> Vec<NextHop> {
    let mut found: Vec<NextHop> = Vec::new();
    for (interface, own) in draft.nodes[node].interfaces.iter().enumerate() {
        if own.addr(family).is_none() {
            continue;
        }
        for &router in gateways.on(own.wire) {
            let Some(addr) = draft.nodes[router].addr_on(own.wire, family) else { continue };
            if router != node && found.len() < MOST && found.iter().all(|hop| hop.node != Some(router)) {
                found.push(NextHop { node: Some(router), addr: addr.addr(), interface });
            }
        }
    }
    found
}

/// The node that each family's default route leads through; the first is none when there is to be no route.
type DefaultHops = (bool, Vec<usize>);

fn default_routes(
    draft: &Draft<'_>,
    names: &Names,
    gateways: &Gateways,
    node: usize,
    report: &mut Report,
) -> (Vec<RouteDraft>, DefaultHops) {
    let vias = draft.nodes[node].statement.map_or(&[][..], |statement| &statement.attributes.vias);
    let none = vias.iter().any(|via| via.value == Via::None);
    let mut chosen: BTreeMap<Family, NextHop> = BTreeMap::new();
    let mut failed = false;
    for (i, via) in vias.iter().enumerate() {
        if vias[..i].contains(via) {
            report.error(via.span, "`via` is given twice", "the same again");
            continue;
        }
        let hops = via_hops(draft, names, node, via, report);
        failed |= hops.is_empty() && via.value != Via::None;
        for (family, hop) in hops {
            if chosen.insert(family, hop).is_some() {
                let message = format!("a second default route for {}", family_name(family));
                report.error(via.span, message, "a node has one default route in each family");
            }
        }
    }
    // The machine has its own default routes; what is written is added to them.
    if !none && !failed && !draft.nodes[node].is_real() {
        // What `via` says nothing about goes by the rule.
        let mut ambiguous = Vec::new();
        for family in FAMILIES {
            if let Entry::Vacant(entry) = chosen.entry(family) {
                match candidates(draft, gateways, node, family).as_slice() {
                    [] => {}
                    [hop] => {
                        entry.insert(*hop);
                    }
                    several => ambiguous.push((family, several.to_vec())),
                }
            }
        }
        report_ambiguous(draft, node, &ambiguous, report);
    }
    let hops = chosen.values().filter_map(|hop| hop.node).collect();
    let routes = chosen.into_iter().map(|(family, hop)| RouteDraft {
        destination: everything(family),
        via: Some(hop.addr),
        interface: hop.interface,
    });
    (routes.collect(), (none, hops))
}

fn report_ambiguous(
    draft: &Draft<'_>,
    node: usize,
    ambiguous: &[(Family, Vec<NextHop>)],
    report: &mut Report,
) {
    let this = &draft.nodes[node];
    let Some((family, hops)) = ambiguous.first() else { return };
    let routers: Vec<usize> = hops.iter().filter_map(|hop| hop.node).collect();
    if this.broken || routers.iter().any(|router| draft.nodes[*router].broken) {
        return;
    }
    let span = match this.statement {
        Some(statement) => statement.name.span,
        None => this.interfaces.first().map_or(Span::default(), |interface| interface.span),
    };
    let described: Vec<String> = hops
        .iter()
        .zip(&routers)
        .map(|(hop, router)| {
            let wire = draft.wire_name(this.interfaces[hop.interface].wire);
            format!("`{}` on `{wire}`", draft.nodes[*router].name)
        })
        .collect();
    let message = format!("`{}` could have its default route through several routers", this.name);
    let label = format!("{}: {}", family_name(*family), enumerate(described.iter().map(String::as_str)));
    let first = &draft.nodes[routers[0]].name;
    report
        .error(span, message, label)
        .help(format!("say which with `via={first}`, or `via=none` for no default route"));
}

/// What a `via` gives in each family.
fn via_hops(
    draft: &Draft<'_>,
    names: &Names,
    node: usize,
    via: &Spanned<Via>,
    report: &mut Report,
) -> Vec<(Family, NextHop)> {
    match &via.value {
        Via::None => Vec::new(),
        Via::Addr(addr) => {
            let hop = on_own_net(draft, node, *addr, via.span, report);
            hop.map(|hop| (Family::of(*addr), hop)).into_iter().collect()
        }
        Via::Node(name) => {
            let Some(router) = router(draft, names, node, name, via.span, None, report) else {
                return Vec::new();
            };
            FAMILIES
                .into_iter()
                .filter_map(|family| shared(draft, node, router, family).map(|hop| (family, hop)))
                .collect()
        }
    }
}

/// The next hop with an address on one of the node's own nets.
fn on_own_net(
    draft: &Draft<'_>,
    node: usize,
    addr: IpAddr,
    span: Span,
    report: &mut Report,
) -> Option<NextHop> {
    let this = &draft.nodes[node];
    let interface = this.interfaces.iter().position(|i| {
        i.addrs.iter().any(|own| own.contains(&addr))
            || draft.has_the_machines(node, i.wire) && draft.subnets(i.wire).iter().any(|s| s.contains(addr))
    });
    if interface.is_none() && !this.broken {
        let subnets: Vec<String> =
            this.interfaces.iter().flat_map(|i| &i.addrs).map(|own| own.trunc().to_string()).collect();
        let label = match subnets.is_empty() {
            true if this.interfaces.is_empty() => format!("`{}` is on no net", this.name),
            true => format!("`{}` has no address", this.name),
            false => format!("subnets of `{}`: {}", this.name, enumerate(subnets.iter().map(String::as_str))),
        };
        report.error(span, format!("`{addr}` is not next to `{}`", this.name), label);
    }
    let interface = interface?;
    if this.interfaces.iter().flat_map(|i| &i.addrs).any(|own| own.addr() == addr) {
        report.error(span, format!("`{addr}` is `{}` itself", this.name), "expected the address of a router");
        return None;
    }
    let wire = this.interfaces[interface].wire;
    let has =
        |other: usize| draft.nodes[other].interfaces.iter().flat_map(|i| &i.addrs).any(|a| a.addr() == addr);
    let node = draft.members(wire).iter().map(|(other, _)| *other).find(|other| has(*other));
    Some(NextHop { node, addr, interface })
}

/// The router of a name, which the node must share a wire with; it need not forward to be asked for an address
/// of its own.
fn router(
    draft: &Draft<'_>,
    names: &Names,
    node: usize,
    name: &str,
    span: Span,
    destination: Option<IpNet>,
    report: &mut Report,
) -> Option<usize> {
    let router = names.node(&Spanned::new(name.to_owned(), span), draft, report)?;
    let (this, that) = (&draft.nodes[node], &draft.nodes[router]);
    if router == node {
        report.error(span, format!("`{name}` is the node itself"), "expected a router");
        return None;
    }
    let owns = |destination: IpNet| {
        let extra = that.statement.map_or(&[][..], |s| &s.attributes.addrs);
        extra.iter().any(|addr| destination.contains(&addr.value.addr()))
    };
    if !that.forwards && !destination.is_some_and(owns) {
        if that.broken {
            return None;
        }
        report
            .error(span, format!("`{name}` does not forward"), "expected a router")
            .help(format!("declare it `router {name}`, or add `forward`"));
        return None;
    }
    if !FAMILIES.into_iter().any(|family| shared(draft, node, router, family).is_some()) {
        let machines = this.interfaces.iter().find(|i| {
            that.index_on(i.wire).is_some()
                && (draft.has_the_machines(router, i.wire) || draft.has_the_machines(node, i.wire))
        });
        if let Some(interface) = machines {
            unreachable_machine(draft, interface.wire, name, span, report);
            return None;
        }
        if !this.broken && !that.broken {
            let message = format!("`{name}` is not next to `{}`", this.name);
            report.error(span, message, draft.wires_of(node));
        }
        return None;
    }
    Some(router)
}

/// Reports that a node and a real host on the same net have no way to each other that netlab knows.
fn unreachable_machine(draft: &Draft<'_>, wire: Wire, name: &str, span: Span, report: &mut Report) {
    let net = draft.wire_name(wire);
    let message = format!("there is no known way to `{name}`");
    if matches!(wire, Wire::Net(net) if draft.nets[net].is_shared()) {
        let label = format!("on `{net}` (`dev=`) the machine and nodes cannot reach each other");
        report.error(span, message, label);
    } else {
        let label = format!("on `{net}` (`takeover`) the host has the addresses that the machine has");
        report.error(span, message, label).help("write the address, as in `via=10.1.1.51`");
    }
}

fn static_route(
    draft: &Draft<'_>,
    names: &Names,
    node: usize,
    route: &Route,
    before: &[RouteDraft],
    report: &mut Report,
) -> Option<RouteDraft> {
    let Spanned { value: destination, span } = route.destination;
    let this = &draft.nodes[node];
    let family = Family::of(destination.addr());
    if !check_subnet(destination, span, report) {
        return None;
    }
    if destination.prefix_len() == 0 {
        report.error(
            span,
            "the default route is not written so",
            "write `via=` instead, outside `route(...)`",
        );
        return None;
    }
    if before.iter().any(|other| other.destination == destination) {
        report.error(span, format!("a second route to `{destination}`"), "one is enough");
        return None;
    }
    let own = this.interfaces.iter().find(|i| i.addrs.iter().any(|addr| addr.trunc() == destination));
    if let Some(own) = own {
        let label =
            format!("it is the subnet of `{}`, which `{}` is on", draft.wire_name(own.wire), this.name);
        report.error(span, format!("a second route to `{destination}`"), label);
        return None;
    }
    let wrong_family = |report: &mut Report, what: &str| {
        let message = format!("this is no way to `{destination}`");
        report.error(
            route.hop.span,
            message,
            format!("`{what}` has no {} address there", family_name(family)),
        );
    };
    match &route.hop.value {
        Hop::Addr(addr) => {
            if Family::of(*addr) != family {
                let message = format!("this is no way to `{destination}`");
                report.error(
                    route.hop.span,
                    message,
                    format!("`{addr}` is no {} address", family_name(family)),
                );
                return None;
            }
            let hop = on_own_net(draft, node, *addr, route.hop.span, report)?;
            Some(RouteDraft { destination, via: Some(hop.addr), interface: hop.interface })
        }
        Hop::Node(name) => {
            let router = router(draft, names, node, name, route.hop.span, Some(destination), report)?;
            let Some(hop) = shared(draft, node, router, family) else {
                wrong_family(report, name);
                return None;
            };
            Some(RouteDraft { destination, via: Some(hop.addr), interface: hop.interface })
        }
        Hop::Wire(name) => {
            let wire = names.wire(&Spanned::new(name.clone(), route.hop.span), draft, report)?;
            let Some(interface) = this.index_on(wire) else {
                if !this.broken {
                    let message = format!("`{}` is not on `{name}`", this.name);
                    report.error(route.hop.span, message, draft.wires_of(node));
                }
                return None;
            };
            if this.interfaces[interface].addr(family).is_none() && !draft.has_the_machines(node, wire) {
                wrong_family(report, &this.name);
                return None;
            }
            Some(RouteDraft { destination, via: None, interface })
        }
    }
}

/// Checks the extra addresses of a node.
fn extra_addrs(addrs: &[Spanned<IpNet>], report: &mut Report) {
    for (i, Spanned { value, span }) in addrs.iter().enumerate() {
        if let Some(why) = unusable(Subnet::of(IpNet::from(value.addr()))) {
            report.error(*span, format!("`{}` cannot be the address of a node", value.addr()), why);
        } else if addrs[..i].iter().any(|other| other.value.addr() == value.addr()) {
            report.error(*span, format!("`{}` is given twice", value.addr()), "once is enough");
        }
    }
}

/// Tells neighbours of extra addresses: who shares a wire with a node has a route to its `addr`, unless its
/// default route leads there anyway, or it says `via=none`.
///
/// An address that several nodes have, or that lies in a subnet of the lab, belongs to no node in particular
/// (anycast, a service's address behind a balancer), so nobody is told. Nor is the outside of a masquerading node.
fn to_extra_addrs(draft: &mut Draft<'_>, default_hops: &[DefaultHops]) {
    let mut owners: BTreeMap<IpNet, Option<usize>> = BTreeMap::new();
    for (node, this) in draft.nodes.iter().enumerate() {
        let mut own = BTreeSet::new();
        for addr in this.statement.into_iter().flat_map(|s| &s.attributes.addrs) {
            let destination = addr.value.trunc();
            if own.insert(destination) {
                owners.entry(destination).and_modify(|owner| *owner = None).or_insert(Some(node));
            }
        }
    }
    let subnets: Vec<Subnet> = match owners.is_empty() {
        true => Vec::new(),
        false => draft.all_subnets().collect(),
    };
    for (destination, owner) in owners {
        let Some(owner) = owner else { continue };
        if destination.prefix_len() == 0 || subnets.iter().any(|s| s.overlaps(Subnet::of(destination))) {
            continue;
        }
        let family = Family::of(destination.addr());
        let mut told = BTreeSet::from([owner]);
        for own in 0..draft.nodes[owner].interfaces.len() {
            let interface = &draft.nodes[owner].interfaces[own];
            let wire = interface.wire;
            let Some(addr) = interface.addr(family) else { continue };
            if draft.nodes[owner].hidden_behind.contains(&wire) {
                continue;
            }
            for (neighbour, interface) in draft.members(wire).to_vec() {
                let (none, hops) = &default_hops[neighbour];
                let node = &mut draft.nodes[neighbour];
                let knows = *none
                    || hops.contains(&owner)
                    || node.interfaces[interface].addr(family).is_none()
                    || node.routes.iter().any(|route| route.destination == destination);
                if told.insert(neighbour) && !knows {
                    node.routes.push(RouteDraft { destination, via: Some(addr.addr()), interface });
                }
            }
        }
    }
}
