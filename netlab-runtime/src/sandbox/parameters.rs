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
