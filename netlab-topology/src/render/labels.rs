//! What stands in a drawing.

use ipnet::IpNet;

use crate::plan::{Action, Place};
use crate::plan::{Nft, Op, Plan, PlannedInterface};

/// Whether a node is drawn: the host is not, where the topology does not use it.
pub(super) fn is_drawn(plan: &Plan, node: usize) -> bool {
    plan.nodes()[node].place != Place::HOST || !plan.nodes()[node].interfaces.is_empty()
}

/// What each node does beside being there: `router`, `router NAT`, ...
pub(super) fn roles(plan: &Plan) -> Vec<String> {
    let mut words: Vec<Vec<&str>> =
        plan.nodes().iter().map(|node| if node.forwards { vec!["router"] } else { Vec::new() }).collect();
    for step in plan.steps() {
        let Op::Nft(Nft::AddRule { action, .. }) = &step.op else { continue };
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
