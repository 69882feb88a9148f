//! The list: each net with its members, for what is too wide to draw.

use super::labels::{is_drawn, line_of, moved, roles, subnets, subnets_of_nic, uplink};
use crate::plan::{Plan, PlannedInterface, Wire};

/// A net or link with its members.
struct Branch<'p> {
    title: String,
    members: Vec<(usize, &'p PlannedInterface)>,
}

/// The list of all nets and links, and of nodes that are on none.
pub(super) fn draw(plan: &Plan) -> String {
    let mut text = String::new();
    let roles = roles(plan);
    for branch in branches(plan) {
        text.push_str(branch.title.trim_end());
        text.push('\n');
        let rows: Vec<[String; 4]> = branch
            .members
            .iter()
            .map(|(node, interface)| {
                let addrs: Vec<String> = interface.addrs.iter().map(|addr| addr.addr().to_string()).collect();
                [
                    plan.nodes()[*node].name.clone(),
                    interface.dev.name.to_string(),
                    addrs.join(" "),
                    roles[*node].clone(),
                ]
            })
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let [name, dev, addr] = [width(0), width(1), width(2)];
        for (i, [n, d, a, role]) in rows.iter().enumerate() {
            let corner = if i + 1 == rows.len() { "└─" } else { "├─" };
            let line = format!("{corner} {n:name$}  {d:dev$}  {a:addr$}  {role}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    let alone =
        (0..plan.nodes().len()).filter(|i| is_drawn(plan, *i) && plan.nodes()[*i].interfaces.is_empty());
    for node in alone {
        text.push_str(&plan.nodes()[node].name);
        text.push('\n');
    }
    text
}

fn branches(plan: &Plan) -> Vec<Branch<'_>> {
    let mut branches: Vec<Branch<'_>> = Vec::new();
    for (index, net) in plan.nets().iter().enumerate() {
        let uplink = uplink(plan, Wire::Net(index)).map(|uplink| format!("[{uplink}]"));
        let title = [Some(net.name.clone()), Some(subnets(&net.subnets)), uplink];
        let title: Vec<String> = title.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        branches.push(Branch { title: title.join("  "), members: Vec::new() });
    }
    for link in plan.links() {
        branches.push(Branch {
            title: format!("{}  {}", link.name, subnets(&link.subnets)),
            members: Vec::new(),
        });
    }
    for nic in moved(plan) {
        let subnets = subnets_of_nic(plan, nic).join(" ");
        let uplink = uplink(plan, Wire::Nic(nic)).map(|uplink| format!("[{uplink}]"));
        let title: Vec<String> =
            uplink.into_iter().chain([subnets]).filter(|part| !part.is_empty()).collect();
        let title = title.join("  ");
        branches.push(Branch { title, members: Vec::new() });
    }
    for (index, node) in plan.nodes().iter().enumerate() {
        for interface in &node.interfaces {
            branches[line_of(plan, interface.wire)].members.push((index, interface));
        }
    }
    branches
}
