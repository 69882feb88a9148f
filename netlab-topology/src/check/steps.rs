//! The steps of a plan, in an order that works.
//!
//! All namespaces; their sysctls, before any interface is there to take them from `default`; bridges and veth
//! pairs, grouped by the bridges' namespace; then namespace by namespace what is on the interfaces; then rules.

use super::address::FAMILIES;
use super::draft::{Draft, Interface, NicDraft, Sort};
use super::produce::loopback;
use super::rules;
use crate::name::IfName;
use crate::plan::{Dev, Family, Op, Place, Plan, Step, VethEnd, Wire, key_of_device};

/// Smallest MTU of an interface with IPv6 (RFC 8200 section 5; `IPV6_MIN_MTU` in `include/uapi/linux/ipv6.h`).
const IPV6_MIN_MTU: u32 = 1280;

/// All steps of a plan that has everything else.
pub(super) fn steps(plan: &Plan, draft: &Draft<'_>) -> Vec<Step> {
    let mut steps = Steps { list: Vec::new() };
    for (place, name) in plan.places.iter().enumerate().skip(1) {
        if plan.machine == Some(Place(place)) {
            continue;
        }
        steps.add(Place(place), Op::AddNamespace { name: name.clone() });
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        match draft.nodes[index].is_real() {
            true => steps.machine_sysctls(plan, draft),
            false => steps.node_sysctls(plan, draft, index, node.place),
        }
    }
    let switch = Place(plan.nodes.len());
    if plan.nets.iter().any(|net| net.bridge.is_some() && net.place == switch) {
        steps.switch_sysctls(switch);
    }
    for place in [Place::HOST, switch] {
        let here = |net: &crate::plan::PlannedNet| net.bridge.is_some() && net.place == place;
        for (index, net) in plan.nets.iter().enumerate().filter(|(_, net)| here(net)) {
            steps.star(plan, draft, index, net.place);
            steps.port(plan, draft, index, net.place);
        }
    }
    steps.nics_and_macvlans(plan, draft);
    for link in 0..plan.links.len() {
        steps.link(plan, draft, link);
    }
    // The host last: its bridges come up when their ports have, and those when the nodes' ends have.
    for index in (1..plan.nodes.len()).chain([0]) {
        steps.inside(plan, draft, index, plan.nodes[index].place);
    }
    steps.offload_of_ports(plan, draft);
    for index in 0..draft.nodes.len() {
        let place = plan.nodes[index].place;
        rules::of_node(plan, draft, index).into_iter().for_each(|op| steps.add(place, op));
    }
    steps.list
}

struct Steps {
    list: Vec<Step>,
}

impl Steps {
    fn add(&mut self, place: Place, op: Op) {
        self.list.push(Step { place, op });
    }

    fn sysctl(&mut self, place: Place, key: &str, value: &str) {
        self.add(place, Op::SetSysctl { key: key.to_owned(), value: value.to_owned() });
    }

    /// What a lab relies on and a new namespace may have otherwise, from the machine or from boot parameters.
    /// Each costs a few microseconds a node, so nothing is set twice over.
    fn node_sysctls(&mut self, plan: &Plan, draft: &Draft<'_>, node: usize, place: Place) {
        let forward = if plan.nodes[node].forwards { "1" } else { "0" };
        // First, because it resets other settings (Documentation/networking/ip-sysctl.rst).
        self.sysctl(place, "net.ipv4.ip_forward", forward);
        // Sets `default` as well, and so every interface (`addrconf_fixup_forwarding` in net/ipv6/addrconf.c).
        self.sysctl(place, "net.ipv6.conf.all.forwarding", forward);
        // Answers may come back another way. The larger of `all` and the interface's counts, and an interface
        // takes that of `default`.
        self.sysctl(place, "net.ipv4.conf.all.rp_filter", "0");
        self.sysctl(place, "net.ipv4.conf.default.rp_filter", "0");
        // Sets `default` as well (`addrconf_disable_ipv6`).
        self.sysctl(place, "net.ipv6.conf.all.disable_ipv6", "0");
        // Link-local addresses would be tentative for a second; off only when both say so
        // (`addrconf_dad_begin`).
        self.sysctl(place, "net.ipv6.conf.all.accept_dad", "0");
        self.sysctl(place, "net.ipv6.conf.default.accept_dad", "0");
        // No router is to configure what the plan does not know of; without it none is solicited either
        // (`addrconf_dad_completed`). `all` has no effect here.
        self.sysctl(place, "net.ipv6.conf.default.accept_ra", "0");
        if place == Place::HOST && has_bridge(plan, place) {
            self.bridge_sysctls(place);
        }
        for (key, value) in &draft.nodes[node].sysctls.early {
            self.sysctl(place, key, value);
        }
    }

    /// What a lab cannot do without on the machine itself, whose settings are its owner's.
    fn machine_sysctls(&mut self, plan: &Plan, draft: &Draft<'_>) {
        let place = Place::HOST;
        if plan.nodes[0].forwards {
            for family in families(draft, 0) {
                match family {
                    Family::V4 => self.sysctl(place, "net.ipv4.ip_forward", "1"),
                    Family::V6 => self.sysctl(place, "net.ipv6.conf.all.forwarding", "1"),
                }
            }
        }
        if has_bridge(plan, place) {
            self.bridge_sysctls(place);
        }
        for (key, value) in &draft.nodes[0].sysctls.early {
            self.sysctl(place, key, value);
        }
    }

    /// The settings of an interface that the lab makes in the machine, where `default` is not the lab's to set.
    ///
    /// One that takes over goes on as the machine's: only its addresses are not to be tentative meanwhile.
    fn sysctls_of_device(&mut self, place: Place, interface: &Interface<'_>, taken_over: bool, dev: &IfName) {
        if taken_over {
            if interface.mtu >= IPV6_MIN_MTU {
                self.sysctl(place, &key_of_device("ipv6", dev, "accept_dad"), "0");
            }
            return;
        }
        self.sysctl(place, &key_of_device("ipv4", dev, "rp_filter"), "0");
        // There are none for what is too small for IPv6 (`addrconf_notify`).
        if interface.mtu >= IPV6_MIN_MTU {
            if interface.addr(Family::V6).is_some() {
                self.sysctl(place, &key_of_device("ipv6", dev, "disable_ipv6"), "0");
            }
            self.sysctl(place, &key_of_device("ipv6", dev, "accept_dad"), "0");
            self.sysctl(place, &key_of_device("ipv6", dev, "accept_ra"), "0");
        }
    }

    fn switch_sysctls(&mut self, place: Place) {
        self.sysctl(place, "net.ipv4.ip_forward", "0");
        // Bridges that only switch have nothing to say; this sets `default` as well.
        self.sysctl(place, "net.ipv6.conf.all.disable_ipv6", "1");
        self.bridge_sysctls(place);
    }

    /// Frames that are bridged must not meet rules for packets that are routed. Where br_netfilter is not loaded
    /// the keys are missing, which is as good as 0.
    fn bridge_sysctls(&mut self, place: Place) {
        for table in ["iptables", "ip6tables", "arptables"] {
            self.sysctl(place, &format!("net.bridge.bridge-nf-call-{table}"), "0");
        }
    }

    /// A bridge with the veth pairs of its members.
    fn star(&mut self, plan: &Plan, draft: &Draft<'_>, net: usize, place: Place) {
        let Some(bridge) = &draft.nets[net].bridge else { return };
        let up = place != Place::HOST;
        self.add(place, Op::AddBridge { dev: bridge.dev.clone(), mac: bridge.mac, mtu: bridge.mtu, up });
        for port in &bridge.ports {
            let node = &plan.nodes[port.node];
            self.add(
                place,
                Op::AddVeth {
                    end: VethEnd { dev: port.dev.clone(), mac: port.mac, mtu: bridge.mtu },
                    master: Some(bridge.dev.clone()),
                    peer_place: node.place,
                    peer_name: plan.place_name(node.place).to_owned(),
                    peer: veth_end(plan, draft, port.node, port.interface),
                },
            );
            // Ports would have link-local addresses and talk to their nodes; the switch namespace has IPv6 off. An
            // interface too small for IPv6 has no such setting (`inet6_validate_link_af`).
            if place == Place::HOST && bridge.mtu >= IPV6_MIN_MTU {
                self.add(place, Op::DisableLinkLocal { dev: port.dev.clone() });
            }
        }
    }

    /// Plugs the interface of the machine into a net's bridge, unless that has to be up for it.
    fn port(&mut self, plan: &Plan, draft: &Draft<'_>, net: usize, place: Place) {
        let (Some(nic), Some(bridge)) = (draft.nic_of(net), &draft.nets[net].bridge) else { return };
        let (Some(machine), Some(dev), Some(plugged)) = (plan.machine, nic.dev(), &bridge.plugged) else {
            return;
        };
        if place != machine {
            self.take(plan, machine, dev, place, plugged.clone(), nic.force);
            // As its other ports; the switch namespace has IPv6 off.
            if place == Place::HOST {
                self.add(place, Op::DisableLinkLocal { dev: plugged.clone() });
            }
            self.add(place, Op::SetMaster { dev: plugged.clone(), bridge: bridge.dev.clone() });
        } else if !draft.nets[net].takes_over() {
            let bridge = bridge.dev.clone();
            self.add(place, Op::PlugNic { nic: dev, bridge, takeover: false, force: nic.force });
        }
    }

    fn take(&mut self, plan: &Plan, machine: Place, nic: Dev, to: Place, dev: Dev, force: bool) {
        let to_name = plan.place_name(to).to_owned();
        self.add(machine, Op::TakeNic { nic, to, to_name, dev, force });
    }

    /// What nodes get from the machine: interfaces moved into them, and macvlans on those that stay.
    fn nics_and_macvlans(&mut self, plan: &Plan, draft: &Draft<'_>) {
        let Some(machine) = plan.machine else { return };
        for (index, node) in draft.nodes.iter().enumerate() {
            let planned = &plan.nodes[index];
            for (interface, made) in node.interfaces.iter().zip(&planned.interfaces) {
                match (draft.sort(index, interface.wire), interface.wire) {
                    (Sort::Moved, Wire::Nic(nic)) => {
                        let Some(nic_dev) = draft.nics[nic].dev() else { continue };
                        let force = draft.nics[nic].force;
                        self.take(plan, machine, nic_dev, planned.place, made.dev.clone(), force);
                    }
                    (Sort::Macvlan, Wire::Net(net)) => {
                        let Some(parent) = draft.nic_of(net).and_then(NicDraft::dev) else { continue };
                        let op = Op::AddMacvlan {
                            parent,
                            peer_place: planned.place,
                            peer_name: plan.place_name(planned.place).to_owned(),
                            peer: made.dev.clone(),
                            mac: interface.mac,
                            mtu: draft.given_mtu(interface),
                        };
                        self.add(machine, op);
                    }
                    _ => {}
                }
            }
        }
    }

    fn link(&mut self, plan: &Plan, draft: &Draft<'_>, link: usize) {
        let [end, peer] =
            plan.links[link].ends.map(|(node, interface)| veth_end(plan, draft, node, interface));
        let [place, peer_place] = plan.links[link].ends.map(|(node, _)| plan.nodes[node].place);
        let peer_name = plan.place_name(peer_place).to_owned();
        self.add(place, Op::AddVeth { end, master: None, peer_place, peer_name, peer });
    }

    /// What a node has on its interfaces.
    fn inside(&mut self, plan: &Plan, draft: &Draft<'_>, index: usize, place: Place) {
        let node = &plan.nodes[index];
        let is_real = draft.nodes[index].is_real();
        // What is the machine's own stays as it is.
        let interfaces = draft.nodes[index].interfaces.iter().zip(&node.interfaces);
        let made: Vec<_> =
            interfaces.filter(|(i, _)| draft.sort(index, i.wire) != Sort::OfTheMachine).collect();
        if is_real {
            for (interface, planned) in &made {
                let taken_over = draft.has_the_machines(index, interface.wire);
                self.sysctls_of_device(place, interface, taken_over, &planned.dev.name);
            }
        }
        for (key, value) in &draft.nodes[index].sysctls.late {
            self.sysctl(place, key, value);
        }
        if !is_real {
            self.add(place, Op::SetUp { dev: loopback() });
        }
        for (interface, planned) in &made {
            self.add(place, Op::SetUp { dev: planned.dev.clone() });
            if let Wire::Net(net) = interface.wire {
                self.takeover(draft, net, place);
            }
        }
        for (interface, planned) in draft.nodes[index].interfaces.iter().zip(&node.interfaces) {
            if !interface.offload {
                self.add(place, Op::DisableOffload { dev: planned.dev.clone() });
            }
        }
        for addr in &node.loopback {
            self.add(place, Op::AddAddress { dev: loopback(), addr: *addr });
        }
        for interface in &node.interfaces {
            for addr in &interface.addrs {
                self.add(place, Op::AddAddress { dev: interface.dev.clone(), addr: *addr });
            }
        }
        for route in &draft.nodes[index].routes {
            let dev: Dev = node.interfaces[route.interface].dev.clone();
            self.add(place, Op::AddRoute { destination: route.destination, via: route.via, dev });
        }
    }

    /// Gives a bridge that is up what an interface of the machine has: routes by a bridge that is down are refused.
    fn takeover(&mut self, draft: &Draft<'_>, net: usize, place: Place) {
        if place != Place::HOST || !draft.host_is_real() || !draft.nets[net].takes_over() {
            return;
        }
        let Some((nic, bridge)) = draft.nic_of(net).zip(draft.nets[net].bridge.as_ref()) else { return };
        let Some(dev) = nic.dev() else { return };
        self.add(
            place,
            Op::PlugNic { nic: dev, bridge: bridge.dev.clone(), takeover: true, force: nic.force },
        );
    }

    /// What a node without offload receives has passed the other side of its wire, which must complete checksums
    /// and cut segments as well.
    fn offload_of_ports(&mut self, plan: &Plan, draft: &Draft<'_>) {
        for net in &plan.nets {
            for port in &net.ports {
                if !draft.nodes[port.node].interfaces[port.interface].offload {
                    self.add(net.place, Op::DisableOffload { dev: port.dev.clone() });
                }
            }
        }
    }
}

/// Whether a place has a bridge of a net.
fn has_bridge(plan: &Plan, place: Place) -> bool {
    plan.nets.iter().any(|net| net.bridge.is_some() && net.place == place)
}

/// The families of a node's nets and links.
pub(super) fn families(draft: &Draft<'_>, node: usize) -> Vec<Family> {
    let of = |family: &Family| {
        let mut wires = draft.nodes[node].interfaces.iter().map(|interface| interface.wire);
        wires.any(|wire| draft.subnets(wire).iter().any(|subnet| subnet.family == *family))
    };
    FAMILIES.into_iter().filter(of).collect()
}

/// An interface of a node as one end of a veth pair.
fn veth_end(plan: &Plan, draft: &Draft<'_>, node: usize, interface: usize) -> VethEnd {
    let Interface { mac, mtu, .. } = draft.nodes[node].interfaces[interface];
    VethEnd { dev: plan.nodes[node].interfaces[interface].dev.clone(), mac, mtu }
}
