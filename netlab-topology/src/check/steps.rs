//! The steps of a plan, in an order that works.
//!
//! All namespaces; their sysctls, before any interface is there to take them from `default`; bridges and veth
//! pairs, grouped by the bridges' namespace; then namespace by namespace what is on the interfaces; then rules.

use super::draft::{Draft, Rule};
use super::produce::loopback;
use crate::plan::{Action, Dev, Hook, Match, Nft, Op, Place, Plan, Step, VethEnd};

/// All steps of a plan that has everything else.
pub(super) fn steps(plan: &Plan, draft: &Draft<'_>) -> Vec<Step> {
    let mut steps = Steps { list: Vec::new() };
    for (place, name) in plan.places.iter().enumerate().skip(1) {
        steps.add(Place(place), Op::AddNamespace { name: name.clone() });
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        steps.node_sysctls(plan, draft, index, node.place);
    }
    let switch = Place(plan.nodes.len());
    if plan.places.len() > plan.nodes.len() {
        steps.switch_sysctls(switch);
    }
    for place in [Place::HOST, switch] {
        for (index, net) in plan.nets.iter().enumerate().filter(|(_, net)| net.place == place) {
            steps.star(plan, draft, index, net.place);
        }
    }
    for link in 0..plan.links.len() {
        steps.link(plan, link);
    }
    // The host last: its bridges come up when their ports have, and those when the nodes' ends have.
    for index in (1..plan.nodes.len()).chain([0]) {
        steps.inside(plan, draft, index, plan.nodes[index].place);
    }
    steps.offload_of_ports(plan, draft);
    for (index, node) in draft.nodes.iter().enumerate() {
        if !node.rules.is_empty() {
            steps.rules(plan, draft, index);
        }
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
        if place == Place::HOST && plan.nets.iter().any(|net| net.place == place) {
            self.bridge_sysctls(place);
            if !sets_disable_ipv6(draft) {
                // Ports would have link-local addresses and talk to their nodes; bridges get theirs back below.
                self.sysctl(place, "net.ipv6.conf.default.disable_ipv6", "1");
            }
        }
        for (key, value) in &draft.nodes[node].sysctls.early {
            self.sysctl(place, key, value);
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
        let planned = &plan.nets[net];
        let Some(bridge) = &draft.nets[net].bridge else { return };
        let up = place != Place::HOST;
        self.add(place, Op::AddBridge { dev: bridge.dev.clone(), mac: bridge.mac, mtu: bridge.mtu, up });
        for port in &bridge.ports {
            let node = &plan.nodes[port.node];
            let interface = &node.interfaces[port.interface];
            self.add(
                place,
                Op::AddVeth {
                    end: VethEnd { dev: port.dev.clone(), mac: port.mac, mtu: bridge.mtu },
                    master: Some(planned.bridge.clone()),
                    peer_place: node.place,
                    peer_name: plan.place_name(node.place).to_owned(),
                    peer: VethEnd { dev: interface.dev.clone(), mac: interface.mac, mtu: interface.mtu },
                },
            );
        }
    }

    fn link(&mut self, plan: &Plan, link: usize) {
        let [end, peer] = plan.links[link].ends.map(|(node, interface)| {
            let interface = &plan.nodes[node].interfaces[interface];
            VethEnd { dev: interface.dev.clone(), mac: interface.mac, mtu: interface.mtu }
        });
        let [place, peer_place] = plan.links[link].ends.map(|(node, _)| plan.nodes[node].place);
        let peer_name = plan.place_name(peer_place).to_owned();
        self.add(place, Op::AddVeth { end, master: None, peer_place, peer_name, peer });
    }

    /// What a node has on its interfaces.
    fn inside(&mut self, plan: &Plan, draft: &Draft<'_>, index: usize, place: Place) {
        let node = &plan.nodes[index];
        if place == Place::HOST && plan.nets.iter().any(|net| net.place == place) && !sets_disable_ipv6(draft)
        {
            for interface in &node.interfaces {
                let name = interface.dev.name.as_str().replace('.', "/");
                self.sysctl(place, &format!("net.ipv6.conf.{name}.disable_ipv6"), "0");
            }
            self.sysctl(place, "net.ipv6.conf.default.disable_ipv6", "0");
        }
        for (key, value) in &draft.nodes[index].sysctls.late {
            self.sysctl(place, key, value);
        }
        self.add(place, Op::SetUp { dev: loopback() });
        for interface in &node.interfaces {
            self.add(place, Op::SetUp { dev: interface.dev.clone() });
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

    fn rules(&mut self, plan: &Plan, draft: &Draft<'_>, index: usize) {
        let place = plan.nodes[index].place;
        let rules = &draft.nodes[index].rules;
        let name = |interface: usize| plan.nodes[index].interfaces[interface].dev.name.clone();
        let mut list = Vec::new();
        for rule in rules {
            match *rule {
                Rule::Masquerade { out, source } => {
                    let mut matches = vec![Match::OutgoingInterface(name(out))];
                    matches.extend(source.map(Match::Source));
                    list.push((Hook::Postrouting, matches, Action::Masquerade));
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
                        list.push((*hook, matches, action));
                    }
                }
            }
        }
        self.add(place, Op::Nft(Nft::AddTable));
        for hook in [Hook::Prerouting, Hook::Output, Hook::Postrouting] {
            if list.iter().any(|(of, ..)| *of == hook) {
                self.add(place, Op::Nft(Nft::AddNatChain { hook }));
            }
        }
        for (hook, matches, action) in list {
            self.add(place, Op::Nft(Nft::AddRule { hook, matches, action }));
        }
    }
}

/// Whether the user decides about IPv6 on the host's interfaces.
fn sets_disable_ipv6(draft: &Draft<'_>) -> bool {
    draft.nodes[0].sysctls.early.iter().any(|(key, _)| key.ends_with(".disable_ipv6"))
}
