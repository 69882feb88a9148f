//! A draft without errors to a plan.
//!
//! Invariant: nothing here fails through the user's fault.

use super::address::Subnet;
use super::draft::{self, Draft, Sort};
use super::steps;
use crate::name::IfName;
use crate::plan::{
    Dev, NodeArray, Place, Plan, PlannedInterface, PlannedLink, PlannedNet, PlannedNic, PlannedNode, Port,
};
use crate::topology::Topology;

/// Puts the plan together.
pub(super) fn plan(topology: &Topology, draft: &Draft<'_>) -> Plan {
    let mut places: Vec<String> = draft.nodes.iter().map(|node| node.name.clone()).collect();
    let switch = Place(places.len());
    if (0..draft.nets.len()).any(|net| !draft.nets[net].is_shared() && !draft.host_is_on(net)) {
        places.push("switch".to_owned());
    }
    let machine = if draft.host_is_real() {
        Some(Place::HOST)
    } else if draft.nics.is_empty() {
        None
    } else {
        places.push("machine".to_owned());
        Some(Place(places.len() - 1))
    };
    let places_of_bridges = [Some(switch), machine];
    let nets = (0..draft.nets.len()).map(|net| planned_net(draft, net, places_of_bridges)).collect();
    let nics = draft.nics.iter().map(planned_nic).collect();
    let links = draft
        .links
        .iter()
        .map(|link| PlannedLink { name: link.name.clone(), ends: link.ends, subnets: subnets(&link.subnets) })
        .collect();
    let arrays = draft
        .arrays
        .iter()
        .map(|array| NodeArray { name: array.name.to_owned(), members: array.members.clone() })
        .collect();
    let nodes = (0..draft.nodes.len()).map(|node| planned_node(draft, node)).collect();
    let mut plan = Plan {
        topology: topology.clone(),
        places,
        machine,
        nodes,
        arrays,
        nets,
        links,
        nics,
        steps: Vec::new(),
    };
    plan.steps = steps::steps(&plan, draft);
    plan
}

fn subnets(subnets: &[Subnet]) -> Vec<ipnet::IpNet> {
    let mut nets: Vec<ipnet::IpNet> = subnets.iter().map(|subnet| subnet.net()).collect();
    nets.sort_by_key(|net| net.addr().is_ipv6());
    nets
}

fn planned_net(draft: &Draft<'_>, index: usize, [switch, machine]: [Option<Place>; 2]) -> PlannedNet {
    let net = &draft.nets[index];
    let (bridge, ports) = match &net.bridge {
        Some(bridge) => (Some(bridge.dev.clone()), &bridge.ports[..]),
        None => (None, &[][..]),
    };
    let place = match bridge {
        None => machine,
        Some(_) if draft.host_is_on(index) => Some(Place::HOST),
        Some(_) => switch,
    };
    PlannedNet {
        name: net.statement.name.value.clone(),
        subnets: subnets(&net.subnets),
        place: place.unwrap_or_else(|| unreachable!("a net without a bridge is the machine's")),
        bridge,
        ports: ports
            .iter()
            .map(|port| Port { dev: port.dev.clone(), node: port.node, interface: port.interface })
            .collect(),
    }
}

fn planned_nic(nic: &draft::NicDraft<'_>) -> PlannedNic {
    let name = nic.dev().unwrap_or_else(|| unreachable!("every name of an interface has been checked")).name;
    PlannedNic { name, usage: nic.usage, force: nic.force }
}

fn planned_node(draft: &Draft<'_>, index: usize) -> PlannedNode {
    let node = &draft.nodes[index];
    let loopback = node.statement.into_iter().flat_map(|s| &s.attributes.addrs).map(|addr| addr.value);
    PlannedNode {
        name: node.name.clone(),
        place: Place(index),
        forwards: node.forwards,
        interfaces: node.interfaces.iter().map(|i| planned_interface(draft, index, i)).collect(),
        loopback: loopback.collect(),
    }
}

fn planned_interface(draft: &Draft<'_>, node: usize, interface: &draft::Interface<'_>) -> PlannedInterface {
    let wire = interface.wire;
    let (mac, mtu) = match draft.sort(node, wire) {
        Sort::OfTheMachine | Sort::Moved => (None, None),
        Sort::Macvlan => (Some(interface.mac), draft.given_mtu(interface)),
        Sort::Bridge if draft.has_the_machines(node, wire) => (None, Some(interface.mtu)),
        Sort::Bridge | Sort::Veth => (Some(interface.mac), Some(interface.mtu)),
    };
    PlannedInterface {
        dev: interface.dev.clone().unwrap_or_else(|| unreachable!("every interface has been given a name")),
        mac,
        mtu,
        addrs: interface.addrs.clone(),
        wire: interface.wire,
    }
}

/// The loopback device, which every namespace is born with, with index 1 (`LOOPBACK_IFINDEX` in
/// `include/net/flow.h`).
pub(super) fn loopback() -> Dev {
    match IfName::new("lo") {
        Ok(name) => Dev { name, index: 1 },
        Err(_) => unreachable!("`lo` names an interface"),
    }
}
