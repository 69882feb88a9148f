//! Whether a topology has what a test's parameters ask for, where the attribute could not know.

use netlab_topology::Plan;

use crate::registry::{Parameter, ParameterKind};

/// Checks every parameter.
///
/// # Errors
///
/// One line for each that names nothing, with what there is.
pub(super) fn check(plan: &Plan, parameters: &[Parameter]) -> Result<(), String> {
    let wrong: Vec<String> = parameters.iter().filter_map(|parameter| wrong_with(plan, parameter)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn wrong_with(plan: &Plan, parameter: &Parameter) -> Option<String> {
    let nodes = || plan.nodes().iter().map(|node| node.name.as_str());
    let (what, names): (&str, Vec<&str>) = match parameter.kind {
        ParameterKind::Lab => return None,
        ParameterKind::Node => ("node", nodes().collect()),
        ParameterKind::Net => ("net", plan.nets().iter().map(|net| net.name.as_str()).collect()),
        ParameterKind::Link => ("link", plan.links().iter().map(|link| link.name.as_str()).collect()),
        ParameterKind::NodeArray(_) | ParameterKind::NodeVec => {
            ("array of nodes", plan.arrays().iter().map(|array| array.name.as_str()).collect())
        }
    };
    let Some(found) = find(&names, parameter.name) else {
        let there = if names.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        return Some(format!(
            "parameter `{}`: the topology has no {what} of that name; {there}",
            parameter.name
        ));
    };
    if let ParameterKind::NodeArray(wanted) = parameter.kind {
        let count = plan.arrays()[found].members.len();
        if count != wanted {
            return Some(format!(
                "parameter `{}: [Node; {wanted}]`: the topology has {count} of them",
                parameter.name
            ));
        }
    }
    None
}

/// The name itself, or with `-` where the parameter has `_`.
fn find(names: &[&str], name: &str) -> Option<usize> {
    let exact = names.iter().position(|&other| other == name);
    exact.or_else(|| names.iter().position(|other| other.replace('-', "_") == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlab_topology::Topology;

    fn plan() -> Plan {
        let text = "net lan 192.0.2.0/24\nnode web[2] lan\nnode db-1 lan\nlink host db-1";
        Topology::parse(text, "test").unwrap().plan().unwrap()
    }

    #[test]
    fn what_is_there_is_found() {
        let parameters = [
            ("anything", ParameterKind::Lab),
            ("web", ParameterKind::NodeArray(2)),
            ("web", ParameterKind::NodeVec),
            ("web2", ParameterKind::Node),
            ("db_1", ParameterKind::Node),
            ("host", ParameterKind::Node),
            ("lan", ParameterKind::Net),
            ("host_db_1", ParameterKind::Link),
        ]
        .map(|(name, kind)| Parameter { name, kind });
        assert_eq!(check(&plan(), &parameters), Ok(()));
    }

    #[test]
    fn everything_that_is_not_there_is_told() {
        let parameters = [
            ("lam", ParameterKind::Net),
            ("web", ParameterKind::NodeArray(3)),
            ("web3", ParameterKind::Node),
        ]
        .map(|(name, kind)| Parameter { name, kind });
        let wrong = check(&plan(), &parameters).unwrap_err();
        assert_eq!(
            wrong.lines().collect::<Vec<_>>(),
            [
                "parameter `lam`: the topology has no net of that name; there are: lan",
                "parameter `web: [Node; 3]`: the topology has 2 of them",
                "parameter `web3`: the topology has no node of that name; there are: host, web1, web2, db-1",
            ]
        );
    }
}
