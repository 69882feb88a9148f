//! Placeholders in files for programs: `{node.addr}`, `{web1.addr4.lan}`, `{lab.dir}`; and `{web[*].addr}`, which repeats its line
//! for each node of an array.
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

/// What a placeholder's name ends with that stands for each node of an array.
const EACH: &str = "[*]";

/// Fills the placeholders of `text`, a file called `file`, for a node.
///
/// # Errors
///
/// All placeholders that mean nothing, each with what there is instead.
pub(super) fn fill(state: &State, node: usize, file: &str, text: &str) -> Result<String, LabError> {
    let mut wrong = Vec::new();
    let mut filled = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match fill_line(state, node, line) {
            Ok(line) => filled += &line,
            Err(problems) => wrong.extend(problems.iter().map(|problem| format!("line {number}: {problem}"))),
        }
    }
    if wrong.is_empty() {
        return Ok(filled);
    }
    let name = &state.node(node).name;
    Err(LabError::msg(format!("node `{name}`: file `{file}`: {}", wrong.join("\n  "))))
}

/// Fills one line, with its end: as often as the array has nodes that it speaks of, else once.
fn fill_line(state: &State, node: usize, line: &str) -> Result<String, Vec<String>> {
    let Some(array) = array_of(line).map_err(|problem| vec![problem])? else {
        return fill_once(state, node, None, line);
    };
    let arrays = state.plan.arrays();
    let members =
        arrays.iter().find(|known| known.name == array).map(|array| &array.members).ok_or_else(|| {
            let names = arrays.iter().map(|array| array.name.as_str());
            let there = suggestion("arrays", &array, names);
            vec![format!("`{{{array}{EACH}..}}`: no array of nodes is called `{array}`; {there}")]
        })?;
    let lines: Vec<_> = members.iter().map(|member| fill_once(state, node, Some(*member), line)).collect();
    if lines.iter().any(Result::is_err) {
        // What is wrong for all of them is told once.
        let mut problems: Vec<_> = lines.into_iter().filter_map(Result::err).flatten().collect();
        problems.dedup();
        return Err(problems);
    }
    let lines: Vec<_> = lines.into_iter().flatten().collect();
    // The last line of a file may be without an end.
    Ok(lines.join(if line.ends_with('\n') { "" } else { "\n" }))
}

/// Fills one line for one node of the array that it speaks of, if it does.
fn fill_once(state: &State, node: usize, member: Option<usize>, line: &str) -> Result<String, Vec<String>> {
    let mut wrong = Vec::new();
    let filled = replace(line, |name, parts| {
        let value = match member {
            Some(member) if name.ends_with(EACH) => of_node(state, state.node(member), parts),
            _ => lookup(state, node, name, parts),
        };
        value.unwrap_or_else(|problem| {
            wrong.push(format!("`{{{name}.{}}}`: {problem}", parts.join(".")));
            String::new()
        })
    });
    if wrong.is_empty() { Ok(filled) } else { Err(wrong) }
}

/// The array for each node of which a line is to be there, if it is for one.
fn array_of(line: &str) -> Result<Option<String>, String> {
    let mut arrays: Vec<String> = Vec::new();
    replace(line, |name, _parts| {
        if let Some(array) = name.strip_suffix(EACH)
            && !arrays.iter().any(|known| known == array)
        {
            arrays.push(array.to_owned());
        }
        String::new()
    });
    if arrays.len() > 1 {
        let arrays: Vec<_> = arrays.iter().map(|array| format!("`{array}`")).collect();
        return Err(format!("it cannot be repeated for several arrays at once: {}", arrays.join(", ")));
    }
    Ok(arrays.pop())
}

/// Replaces every placeholder of a line by what `value` makes of its name and its parts.
fn replace(line: &str, mut value: impl FnMut(&str, &[&str]) -> String) -> String {
    let mut filled = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled += before;
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
                filled += &value(parts[0], &parts[1..]);
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
    text.split_once('.').is_some_and(|(name, parts)| {
        is_word(name.strip_suffix(EACH).unwrap_or(name)) && parts.split('.').all(is_word)
    })
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
            if plan.array(name).is_some() {
                return Err(format!(
                    "`{name}` is an array of nodes: `{{{name}1...}}` is one, `{{{name}{EACH}...}}` repeats the line for each"
                ));
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
    use super::{array_of, replace};

    #[test]
    fn only_placeholders_are_replaced() {
        let filled = |text: &str| replace(text, |name, parts| format!("<{name} {}>", parts.join("/")));
        assert_eq!(filled("a {node.addr} b"), "a <node addr> b");
        assert_eq!(filled("{web-1.addr.lan}{a_b.c}"), "<web-1 addr/lan><a_b c>");
        assert_eq!(filled("{web[*].addr.lan}"), "<web[*] addr/lan>");
        for same in [
            "http { server { listen 80; } }",
            "{}",
            "{node}",
            "{ node.addr }",
            "{\"a.b\":1}",
            "${a.b}",
            "{1.2}",
            "{a.}",
            "{[*].a}",
            "{a[*]}",
            "{a.b[*]}",
            "{a[1].b}",
            "{",
        ] {
            assert_eq!(filled(same), same);
        }
        assert_eq!(filled("{{node.addr}} {{ x }} {{web[*].addr}}"), "{node.addr} {{ x }} {web[*].addr}");
    }
    #[test]
    fn a_line_is_for_one_array_at_most() {
        assert_eq!(
            array_of("server {web[*].name} {web[*].addr}:80 # {node.name}"),
            Ok(Some("web".to_owned()))
        );
        assert_eq!(array_of("${web[*].name} {{web[*].addr}}"), Ok(None));
        let error = array_of("{web[*].name} {db[*].name}").unwrap_err();
        assert_eq!(error, "it cannot be repeated for several arrays at once: `web`, `db`");
    }
}
