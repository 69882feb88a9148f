//! Placeholders in files for programs: `{node.addr}`, `{web1.addr4.lan}`, `{lab.dir}`.
//!
//! Only a name, a dot and what is wanted, in braces and without blanks, is a placeholder: the braces of configuration
//! languages stay as they are. Doubled braces around one (`{{a.b}}`) stand for themselves.

use std::net::IpAddr;

use ipnet::IpNet;
use netlab_topology::plan::{PlannedNode, Wire};
use netlab_topology::suggestion;

use super::LabError;
use super::state::State;

/// What there is to know of a node.
const OF_A_NODE: [&str; 5] = ["name", "addr", "addr4", "addr6", "dir"];
const OF_THE_LAB: [&str; 2] = ["name", "dir"];
const OF_A_NET: [&str; 3] = ["subnet", "subnet4", "subnet6"];

/// Fills the placeholders of `text`, a file called `file`, for a node.
///
/// # Errors
///
/// All placeholders that mean nothing, each with what there is instead.
pub(super) fn fill(state: &State, node: usize, file: &str, text: &str) -> Result<String, LabError> {
    let mut wrong = Vec::new();
    let filled = replace(text, |line, name, parts| {
        lookup(state, node, name, parts).unwrap_or_else(|problem| {
            wrong.push(format!("line {line}: `{{{name}.{}}}`: {problem}", parts.join(".")));
            String::new()
        })
    });
    if wrong.is_empty() {
        return Ok(filled);
    }
    let name = &state.node(node).name;
    Err(LabError::msg(format!("node `{name}`: file `{file}`: {}", wrong.join("\n  "))))
}

/// Replaces every placeholder by what `value` makes of its line, its name and its parts.
fn replace(text: &str, mut value: impl FnMut(usize, &str, &[&str]) -> String) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    let mut line = 1;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled += before;
        line += before.matches('\n').count();
        let doubled = from.starts_with("{{");
        let inner = &from[if doubled { 2 } else { 1 }..];
        let closing = if doubled { "}}" } else { "}" };
        let name = inner.split_once(closing).map(|(name, _)| name).filter(|name| is_placeholder(name));
        match name {
            Some(name) if doubled => {
                filled.extend(["{", name, "}"]);
                rest = &inner[name.len() + 2..];
            }
            // As in `${shell.variable}`.
            Some(name) if !before.ends_with('$') => {
                let parts: Vec<_> = name.split('.').collect();
                filled += &value(line, parts[0], &parts[1..]);
                rest = &inner[name.len() + 1..];
            }
            _ => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled + rest
}

fn is_placeholder(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    text.contains('.') && text.split('.').all(is_word)
}

fn lookup(state: &State, node: usize, name: &str, parts: &[&str]) -> Result<String, String> {
    let plan = &state.plan;
    let here = state.node(node);
    let nets: Vec<_> = plan.nets().iter().map(|net| net.name.as_str()).collect();
    match name {
        "node" => of_node(state, here, parts),
        "lab" => match parts {
            ["name"] => Ok(state.name.clone()),
            ["dir"] => Ok(folder(state)?.root().display().to_string()),
            _ => Err(no_such("of the lab", parts, &OF_THE_LAB)),
        },
        _ => {
            if let Some(found) = plan.node(name) {
                return of_node(state, state.node(found), parts);
            }
            if let Some(net) = plan.nets().iter().find(|net| net.name == name) {
                return of_net(&net.subnets, parts);
            }
            let names = plan.nodes().iter().map(|node| node.name.as_str());
            let names: Vec<_> = ["node", "lab"].into_iter().chain(names).chain(nets).collect();
            Err(format!("nothing is called `{name}`; {}", suggestion("names", name, names)))
        }
    }
}

fn of_node(state: &State, node: &PlannedNode, parts: &[&str]) -> Result<String, String> {
    let (what, net) = match parts {
        [what] => (*what, None),
        [what, net] if what.starts_with("addr") => (*what, Some(*net)),
        _ => return Err(no_such("of a node", parts, &OF_A_NODE)),
    };
    match what {
        "name" => Ok(node.name.clone()),
        "dir" => {
            let dir = folder(state)?.of_node(&node.name);
            Ok(dir.map_err(|error| error.to_string())?.display().to_string())
        }
        "addr" | "addr4" | "addr6" => address(state, node, what, net),
        _ => Err(no_such("of a node", parts, &OF_A_NODE)),
    }
}

fn address(state: &State, node: &PlannedNode, what: &str, net: Option<&str>) -> Result<String, String> {
    let on = |wire: &Wire| match (net, wire) {
        (None, _) => true,
        (Some(name), Wire::Net(net)) => state.plan.nets()[*net].name == name,
        (Some(_), _) => false,
    };
    let wired = node.interfaces.iter().filter(|interface| on(&interface.wire));
    let wired = wired.flat_map(|interface| &interface.addrs);
    let extra = node.loopback.iter().filter(|_| net.is_none());
    let mut addrs: Vec<IpAddr> = wired.chain(extra).map(IpNet::addr).collect();
    addrs.retain(|addr| match what {
        "addr4" => addr.is_ipv4(),
        "addr6" => addr.is_ipv6(),
        _ => true,
    });
    addrs.sort_by_key(IpAddr::is_ipv6);
    addrs.first().map(ToString::to_string).ok_or_else(|| {
        let family = match what {
            "addr4" => "IPv4 address",
            "addr6" => "IPv6 address",
            _ => "address",
        };
        let nets = node.interfaces.iter().filter_map(|interface| match interface.wire {
            Wire::Net(net) => Some(state.plan.nets()[net].name.as_str()),
            _ => None,
        });
        match net {
            None => format!("node `{}` has no {family}", node.name),
            Some(net) => {
                let nets: Vec<_> = nets.collect();
                format!(
                    "node `{}` has no {family} on a net `{net}`; its nets: {}",
                    node.name,
                    if nets.is_empty() { "none".to_owned() } else { nets.join(", ") }
                )
            }
        }
    })
}

fn of_net(subnets: &[IpNet], parts: &[&str]) -> Result<String, String> {
    let of_family = |wanted: fn(&IpNet) -> bool, family: &str| {
        let subnet = subnets.iter().find(|subnet| wanted(subnet)).map(ToString::to_string);
        subnet.ok_or_else(|| format!("the net has no {family}subnet"))
    };
    match parts {
        ["subnet"] => of_family(|_any| true, ""),
        ["subnet4"] => of_family(|subnet| subnet.addr().is_ipv4(), "IPv4 "),
        ["subnet6"] => of_family(|subnet| subnet.addr().is_ipv6(), "IPv6 "),
        _ => Err(no_such("of a net", parts, &OF_A_NET)),
    }
}

fn folder(state: &State) -> Result<&super::folder::Folder, String> {
    state.folder().map_err(|error| format!("the lab's folder cannot be made: {error}"))
}

fn no_such(kind: &str, parts: &[&str], known: &[&str]) -> String {
    let wanted = parts.join(".");
    let on = if kind == "of a node" { ", and `addr.NET` and the like" } else { "" };
    format!("`{wanted}` is nothing {kind}; {}{on}", suggestion("words", &wanted, known.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn only_placeholders_are_replaced() {
        let filled =
            |text: &str| replace(text, |line, name, parts| format!("<{line} {name} {}>", parts.join("/")));
        assert_eq!(filled("a {node.addr} b"), "a <1 node addr> b");
        assert_eq!(filled("\n{web-1.addr.lan}{a_b.c}"), "\n<2 web-1 addr/lan><2 a_b c>");
        for same in [
            "http { server { listen 80; } }",
            "{}",
            "{node}",
            "{ node.addr }",
            "{\"a.b\":1}",
            "${a.b}",
            "{1.2}",
            "{a.}",
            "{",
        ] {
            assert_eq!(filled(same), same);
        }
        assert_eq!(filled("{{node.addr}} {{ x }}"), "{node.addr} {{ x }}");
    }
}
