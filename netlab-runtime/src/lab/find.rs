//! Finds things of a lab by name, for handles and for the parameters of a test.

use netlab_topology::plan::Plan;
use netlab_topology::suggestion;

use super::{Lab, LabError, Link, Net, Node};
use crate::error::Error;
use crate::registry::FromLab;

pub(super) fn node(lab: &Lab, name: &str) -> Result<Node, LabError> {
    let names = names(lab.plan()).nodes;
    let index = position(&names, name).ok_or_else(|| unknown(lab, "node", name, &names))?;
    Ok(Node::new(&lab.state, index))
}

pub(super) fn net(lab: &Lab, name: &str) -> Result<Net, LabError> {
    let names = names(lab.plan()).nets;
    let index = position(&names, name).ok_or_else(|| unknown(lab, "net", name, &names))?;
    Ok(Net::new(&lab.state, index))
}

pub(super) fn link(lab: &Lab, name: &str) -> Result<Link, LabError> {
    let names = names(lab.plan()).links;
    let index = position(&names, name).ok_or_else(|| unknown(lab, "link", name, &names))?;
    Ok(Link::new(&lab.state, index))
}

fn array(lab: &Lab, name: &str) -> Result<Vec<Node>, LabError> {
    let names = names(lab.plan()).arrays;
    let index = position(&names, name).ok_or_else(|| unknown(lab, "array of nodes", name, &names))?;
    Ok(lab.plan().arrays()[index].members.iter().map(|node| Node::new(&lab.state, *node)).collect())
}

struct Names<'a> {
    nodes: Vec<&'a str>,
    arrays: Vec<&'a str>,
    nets: Vec<&'a str>,
    links: Vec<&'a str>,
}

fn names(plan: &Plan) -> Names<'_> {
    Names {
        nodes: plan.nodes().iter().map(|node| node.name.as_str()).collect(),
        arrays: plan.arrays().iter().map(|array| array.name.as_str()).collect(),
        nets: plan.nets().iter().map(|net| net.name.as_str()).collect(),
        links: plan.links().iter().map(|link| link.name.as_str()).collect(),
    }
}

/// Where a name is among `names`; a `_` in it stands for a `-` unless something has the name itself, since a Rust
/// identifier cannot have a `-`.
fn position(names: &[&str], name: &str) -> Option<usize> {
    names
        .iter()
        .position(|known| *known == name)
        .or_else(|| names.iter().position(|known| known.replace('-', "_") == name))
}

fn unknown(lab: &Lab, kind: &str, name: &str, known: &[&str]) -> LabError {
    let Names { nodes, arrays, nets, links } = names(lab.plan());
    let others = [("a node", nodes), ("an array of nodes", arrays), ("a net", nets), ("a link", links)];
    let mut message = format!("lab `{}` has no {kind} `{name}`", lab.name());
    if let Some((what, _)) = others.iter().find(|(_, names)| position(names, name).is_some()) {
        message += &format!(", but {what} of that name");
    }
    let kinds = if kind == "array of nodes" { "arrays".to_owned() } else { format!("{kind}s") };
    message += &format!("; {}", suggestion(&kinds, name, known.iter().copied()));
    LabError::msg(message)
}

impl FromLab for Lab {
    fn from_lab(lab: &Lab, _name: &str) -> Result<Self, Error> {
        Ok(lab.clone())
    }
}

impl FromLab for Node {
    fn from_lab(lab: &Lab, name: &str) -> Result<Self, Error> {
        Ok(node(lab, name)?)
    }
}

impl<const N: usize> FromLab for [Node; N] {
    fn from_lab(lab: &Lab, name: &str) -> Result<Self, Error> {
        let nodes = array(lab, name)?;
        let count = nodes.len();
        nodes.try_into().map_err(|_nodes| {
            LabError::msg(format!("array `{name}` has {count} nodes, the parameter wants {N}")).into()
        })
    }
}

impl FromLab for Vec<Node> {
    fn from_lab(lab: &Lab, name: &str) -> Result<Self, Error> {
        Ok(array(lab, name)?)
    }
}

impl FromLab for Net {
    fn from_lab(lab: &Lab, name: &str) -> Result<Self, Error> {
        Ok(net(lab, name)?)
    }
}

impl FromLab for Link {
    fn from_lab(lab: &Lab, name: &str) -> Result<Self, Error> {
        Ok(link(lab, name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn an_underscore_stands_for_a_dash_unless_something_has_the_name_itself() {
        assert_eq!(position(&["load-balancer"], "load_balancer"), Some(0));
        assert_eq!(position(&["a-b", "a_b"], "a_b"), Some(1));
        assert_eq!(position(&["a_b"], "a-b"), None);
    }
}
