//! A draft without errors to a plan.
//!
//! Invariant: nothing here fails through the user's fault.

use super::address::Subnet;
use super::draft::{self, Draft};
use super::steps;
use crate::name::IfName;
use crate::plan::{
    Dev, NodeArray, Place, Plan, PlannedInterface, PlannedLink, PlannedNet, PlannedNode, Port,
};
use crate::topology::Topology;

/// Puts the plan together.
pub(super) fn plan(topology: &Topology, draft: &Draft<'_>) -> Plan {
    let switch = Place(draft.nodes.len());
    let nets: Vec<PlannedNet> = (0..draft.nets.len()).map(|net| planned_net(draft, net, switch)).collect();
    let mut places: Vec<String> = draft.nodes.iter().map(|node| node.name.clone()).collect();
    if nets.iter().any(|net| net.place == switch) {
        places.push("switch".to_owned());
    }
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
    let nodes: Vec<PlannedNode> = draft.nodes.iter().enumerate().map(|(i, n)| planned_node(i, n)).collect();
    let mut plan = Plan {
        topology: topology.clone(),
        places,
        machine: None,
        nodes,
        arrays,
        nets,
        links,
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

fn planned_net(draft: &Draft<'_>, index: usize, switch: Place) -> PlannedNet {
    let net = &draft.nets[index];
    let (bridge, ports) = match &net.bridge {
        Some(bridge) => (bridge.dev.clone(), &bridge.ports[..]),
        None => unreachable!("every net has been given a bridge"),
    };
    PlannedNet {
        name: net.statement.name.value.clone(),
        subnets: subnets(&net.subnets),
        place: if draft.host_is_on(index) { Place::HOST } else { switch },
        bridge,
        ports: ports
            .iter()
            .map(|port| Port { dev: port.dev.clone(), node: port.node, interface: port.interface })
            .collect(),
    }
}

fn planned_node(index: usize, node: &draft::Node<'_>) -> PlannedNode {
    let loopback = node.statement.into_iter().flat_map(|s| &s.attributes.addrs).map(|addr| addr.value);
    PlannedNode {
        name: node.name.clone(),
        place: Place(index),
        forwards: node.forwards,
        interfaces: node.interfaces.iter().map(planned_interface).collect(),
        loopback: loopback.collect(),
    }
}

fn planned_interface(interface: &draft::Interface<'_>) -> PlannedInterface {
    PlannedInterface {
        dev: interface.dev.clone().unwrap_or_else(|| unreachable!("every interface has been given a name")),
        mac: interface.mac,
        mtu: interface.mtu,
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
