//! What stands in a drawing.

use ipnet::IpNet;

use crate::plan::{Action, Place};
use crate::plan::{Iptables, Nft, NicUsage, Op, Plan, PlannedInterface, PlannedNic, Wire};

/// Whether a node is drawn: the host is not, where the topology does not use it.
pub(super) fn is_drawn(plan: &Plan, node: usize) -> bool {
    let this = &plan.nodes()[node];
    this.place != Place::HOST || plan.machine() == Some(Place::HOST) || !this.interfaces.is_empty()
}

/// What each node does beside being there: `real`, `router`, `router NAT`, ...
pub(super) fn roles(plan: &Plan) -> Vec<String> {
    let mut words: Vec<Vec<&str>> = Vec::new();
    for node in plan.nodes() {
        let real = (plan.machine() == Some(node.place)).then_some("real");
        words.push(real.into_iter().chain(node.forwards.then_some("router")).collect());
    }
    for step in plan.steps() {
        let (Op::Nft(Nft::AddRule { action, .. }) | Op::Iptables(Iptables::AddRule { action, .. })) =
            &step.op
        else {
            continue;
        };
        let word = match action {
            Action::Masquerade => "NAT",
            Action::Dnat { .. } => "DNAT",
            Action::Accept => continue,
        };
        for (node, words) in plan.nodes().iter().zip(&mut words) {
            if node.place == step.place && !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.into_iter().map(|words| words.join(" ")).collect()
}

/// The addresses of an interface without what they share with all of their subnet.
pub(super) fn host_parts(interface: &PlannedInterface) -> String {
    let parts: Vec<String> = interface.addrs.iter().copied().map(host_part).collect();
    parts.join(" ")
}

fn host_part(addr: IpNet) -> String {
    match addr {
        IpNet::V4(addr) => {
            let octets = addr.addr().octets();
            let shared = usize::from(addr.prefix_len() / 8).min(3);
            octets[shared..].iter().map(|octet| format!(".{octet}")).collect()
        }
        IpNet::V6(addr) => {
            let host = u128::from(addr.addr()) & !u128::from(addr.netmask());
            let text = std::net::Ipv6Addr::from(host).to_string();
            if text.starts_with("::") { text } else { addr.addr().to_string() }
        }
    }
}

/// The subnets of a net or link.
pub(super) fn subnets(subnets: &[IpNet]) -> String {
    subnets.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")
}

/// The interface of the machine that a wire leads to, in the words of the language: `port eth1`.
pub(super) fn uplink(plan: &Plan, wire: Wire) -> Option<String> {
    let of_wire = |(index, nic): (usize, &PlannedNic)| match nic.usage {
        NicUsage::Plugged { net, .. } => (wire == Wire::Net(net)).then(|| format!("port {}", nic.name)),
        NicUsage::Shared { net } => (wire == Wire::Net(net)).then(|| format!("dev {}", nic.name)),
        NicUsage::Moved { .. } => (wire == Wire::Nic(index)).then(|| format!("nic {}", nic.name)),
    };
    plan.nics().iter().enumerate().find_map(of_wire)
}

/// The interfaces of the machine that were moved into nodes, as indices of [`Plan::nics`].
pub(super) fn moved(plan: &Plan) -> Vec<usize> {
    let is_moved = |index: &usize| matches!(plan.nics()[*index].usage, NicUsage::Moved { .. });
    (0..plan.nics().len()).filter(is_moved).collect()
}

/// Which line of a drawing a wire is: nets come first, then links, then interfaces of the machine in nodes.
pub(super) fn line_of(plan: &Plan, wire: Wire) -> usize {
    let (nets, links) = (plan.nets().len(), plan.links().len());
    match wire {
        Wire::Net(net) => net,
        Wire::Link(link) => nets + link,
        Wire::Nic(nic) => nets + links + moved(plan).iter().take_while(|moved| **moved != nic).count(),
    }
}

/// The subnets that an interface of the machine is on in its node, one of each family.
pub(super) fn subnets_of_nic(plan: &Plan, nic: usize) -> Vec<String> {
    let interfaces = plan.nodes().iter().flat_map(|node| &node.interfaces);
    let addrs: Vec<_> = interfaces.filter(|i| i.wire == Wire::Nic(nic)).flat_map(|i| &i.addrs).collect();
    let first = |v4| addrs.iter().find(|addr| addr.addr().is_ipv4() == v4);
    [first(true), first(false)].into_iter().flatten().map(|addr| addr.trunc().to_string()).collect()
}
