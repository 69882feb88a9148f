//! Who is who: declares nets and nodes, and resolves what refers to them.

use std::collections::btree_map::{BTreeMap, Entry};

use super::devices::MAX_PORTS;
use super::draft::{Array, Draft, Interface, Link, Net, NicDraft, Node};
use super::machine;
use crate::diagnostic::{Report, Span, Spanned, nearest, suggestion};
use crate::model::{LinkStatement, NodeStatement, Statement};
use crate::name::MacAddr;
use crate::plan::Wire;
use crate::syntax::is_word;

/// Most nodes in a lab. A namespace takes some hundred kilobytes of kernel memory, so this is a few gigabytes.
pub(super) const MAX_NODES: usize = 10_000;

/// Longest name: that of a label in DNS (RFC 1035, section 2.3.4), because nodes are found by name.
const MAX_NAME: usize = 63;

/// What a name in the place of a node stands for.
#[derive(Clone, Copy, Debug)]
enum Known {
    Node(usize),
    Array(usize),
}

/// A name, as written, and where.
#[derive(Clone, Debug)]
struct Declared<T> {
    what: T,
    name: String,
    span: Span,
}

/// All names of a topology, without regard to case, as names of hosts are.
#[derive(Debug, Default)]
pub(super) struct Names {
    nodes: BTreeMap<String, Declared<Known>>,
    nets: BTreeMap<String, Declared<usize>>,
    links: BTreeMap<String, usize>,
    /// How many links there are of a name, but for the number behind.
    links_between: BTreeMap<String, usize>,
    /// Errors in the text hide some declarations, so an unknown name may well be right.
    lenient: bool,
}

/// Declares and resolves everything. With errors in the text, `complete` says whether they hide a declaration.
///
/// A statement that is faulty declares its name and refers to what could be read, but what it makes is broken.
pub(super) fn resolve<'t>(
    statements: &'t [Statement],
    faulty: &[bool],
    complete: bool,
    report: &mut Report,
) -> (Draft<'t>, Names) {
    let mut draft = Draft::default();
    let mut names = Names { lenient: !complete, ..Names::default() };
    let host = statements.iter().find_map(|statement| match statement {
        Statement::Node(node) if node.name.value == "host" => Some(node),
        _ => None,
    });
    draft.nodes.push(new_node("host".to_owned(), host, 0));
    let host_span = host.map_or_else(Span::default, |host| host.name.span);
    names.nodes.insert(
        "host".to_owned(),
        Declared { what: Known::Node(0), name: "host".to_owned(), span: host_span },
    );
    let is_faulty = |i: usize| faulty.get(i).copied().unwrap_or(false);
    for (i, statement) in statements.iter().enumerate() {
        match statement {
            Statement::Net(net) => {
                if names.declare_net(&net.name, draft.nets.len(), report) {
                    draft.nets.push(Net {
                        statement: net,
                        subnets: Vec::new(),
                        members: Vec::new(),
                        joined: 0,
                        broken: is_faulty(i),
                        bridge: None,
                    });
                    machine::join(draft.nets.len() - 1, &mut draft);
                }
            }
            Statement::Node(node) => {
                let first = draft.nodes.len();
                names.declare_node(node, host, &mut draft, report);
                let first = if host.is_some_and(|host| std::ptr::eq(host, node)) { 0 } else { first };
                for made in draft.nodes[first..].iter_mut().filter(|_| is_faulty(i)) {
                    made.broken = true;
                }
            }
            Statement::Link(_) => {}
        }
    }
    let mut first_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, node) in draft.nodes.iter().enumerate() {
        if let Some(statement) = node.statement {
            first_of.entry(std::ptr::from_ref(statement) as usize).or_insert(index);
        }
    }
    for (i, statement) in statements.iter().enumerate() {
        match statement {
            Statement::Net(_) => {}
            Statement::Link(link) => names.connect(link, is_faulty(i), &mut draft, report),
            Statement::Node(statement) => {
                if let Some(&first) = first_of.get(&(std::ptr::from_ref(statement) as usize)) {
                    names.attach(statement, first, &mut draft, report);
                }
            }
        }
    }
    (draft, names)
}

fn new_node(name: String, statement: Option<&NodeStatement>, member: u32) -> Node<'_> {
    let forwards = statement.is_some_and(|s| s.router || s.attributes.forward.is_some());
    Node {
        name,
        statement,
        member,
        forwards,
        interfaces: Vec::new(),
        broken: false,
        duplicate: false,
        hidden_behind: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        sysctls: super::draft::Sysctls::default(),
    }
}

pub(super) fn new_interface(wire: Wire, span: Span) -> Interface<'static> {
    let mac = MacAddr([0; 6]);
    Interface {
        wire,
        attachment: None,
        nic: None,
        span,
        addrs: Vec::new(),
        dev: None,
        mac,
        mtu: 0,
        offload: true,
    }
}

/// What is wrong with a name.
fn fault(name: &str) -> Option<String> {
    let rule = "a name is made of letters, digits, `-` and `_`, and begins with a letter";
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    {
        Some(rule.to_owned())
    } else if name.ends_with('-') {
        Some("a name does not end with `-`".to_owned())
    } else if name.len() > MAX_NAME {
        Some(format!("a name has at most {MAX_NAME} characters, this one has {}", name.len()))
    } else {
        None
    }
}

impl Names {
    fn declare_net(&mut self, name: &Spanned<String>, index: usize, report: &mut Report) -> bool {
        let Spanned { value, span } = name;
        if let Some(fault) = fault(value) {
            report.error(*span, format!("`{value}` cannot name a net"), fault);
        } else if is_word(value) {
            let message = format!("`{value}` cannot name a net");
            report.error(*span, message, "it is a word of the language, so no node could be attached to it");
        }
        match self.nets.entry(value.to_lowercase()) {
            Entry::Vacant(entry) => {
                entry.insert(Declared { what: index, name: value.clone(), span: *span });
                true
            }
            Entry::Occupied(entry) => {
                let label = said_before(entry.get(), value, *span, report);
                report.error(*span, format!("the net `{value}` is declared twice"), label);
                false
            }
        }
    }

    fn declare_node<'t>(
        &mut self,
        statement: &'t NodeStatement,
        host: Option<&'t NodeStatement>,
        draft: &mut Draft<'t>,
        report: &mut Report,
    ) {
        let Spanned { value: name, span } = &statement.name;
        if host.is_some_and(|host| std::ptr::eq(host, statement)) {
            if let Some(count) = statement.count {
                report.error(count.span, "there is one host", "it cannot be an array");
            }
            return;
        }
        if let Some(fault) = fault(name) {
            report.error(*span, format!("`{name}` cannot name a node"), fault);
        } else if let Some(why) = match name.to_lowercase().as_str() {
            "switch" => Some("the namespace that holds the bridges has that name"),
            "machine" => Some("the machine's own network has that name"),
            "localhost" => Some("in every node that name is the node itself"),
            "none" => Some("`via=none` means no default route"),
            _ => None,
        } {
            report.error(*span, format!("`{name}` cannot name a node"), why);
        }
        let count = match statement.count {
            Some(count) if count.value == 0 => {
                report.error(count.span, "an array of no nodes", "expected at least 1");
                1
            }
            Some(count) if draft.nodes.len() + count.value as usize > MAX_NODES => {
                let label = format!("a lab has at most {MAX_NODES} nodes in all");
                report.error(count.span, "too many nodes", label);
                1
            }
            Some(count) => count.value,
            None if draft.nodes.len() == MAX_NODES => {
                report.error(*span, "too many nodes", format!("a lab has at most {MAX_NODES} nodes in all"));
                return;
            }
            None => 1,
        };
        let first = draft.nodes.len();
        let mut clashes = false;
        if statement.count.is_some() {
            clashes = !self.declare(name, Known::Array(draft.arrays.len()), *span, None, report);
            let members: Vec<usize> = (first..first + count as usize).collect();
            draft.arrays.push(Array { name, members });
        }
        for member in 0..count {
            let full = match statement.count {
                Some(_) => format!("{name}{}", member + 1),
                None => name.clone(),
            };
            if full.len() > MAX_NAME && name.len() <= MAX_NAME && member + 1 == count {
                let label = format!("a name has at most {MAX_NAME} characters, `{full}` has {}", full.len());
                report.error(*span, format!("`{name}` cannot name this many nodes"), label);
            }
            if !clashes {
                let array = statement.count.map(|_| name.as_str());
                clashes = !self.declare(&full, Known::Node(draft.nodes.len()), *span, array, report);
            }
            draft.nodes.push(new_node(full, Some(statement), member));
        }
        for node in &mut draft.nodes[first..] {
            node.duplicate = clashes;
            node.broken |= clashes;
        }
    }

    /// Takes a name for a node, unless it is taken.
    fn declare(
        &mut self,
        name: &str,
        known: Known,
        span: Span,
        member_of: Option<&str>,
        report: &mut Report,
    ) -> bool {
        match self.nodes.entry(name.to_lowercase()) {
            Entry::Vacant(entry) => {
                entry.insert(Declared { what: known, name: name.to_owned(), span });
                true
            }
            Entry::Occupied(entry) => {
                let mut label = said_before(entry.get(), name, span, report);
                if let Some(array) = member_of {
                    label = format!("the array `{array}` has a member `{name}`; {label}");
                } else if name == "host" {
                    label.push_str(" (the host is the node the test body runs in)");
                }
                report.error(span, format!("the node `{name}` is declared twice"), label);
                false
            }
        }
    }

    fn connect<'t>(
        &mut self,
        statement: &'t LinkStatement,
        faulty: bool,
        draft: &mut Draft<'t>,
        report: &mut Report,
    ) {
        let [a, b] = &statement.nodes;
        let found = [self.node(a, draft, report), self.node(b, draft, report)];
        let [Some(x), Some(y)] = found else {
            for node in found.into_iter().flatten() {
                draft.nodes[node].broken = true;
            }
            return;
        };
        if x == y {
            report.error(b.span, format!("a link from `{}` to itself", a.value), "expected another node");
            return;
        }
        let index = draft.links.len();
        let base = format!("{}-{}", draft.nodes[x].name, draft.nodes[y].name);
        let mut name = base.clone();
        let between = self.links_between.entry(base.clone()).or_insert(0);
        loop {
            *between += 1;
            if *between > 1 {
                name = format!("{base}-{between}");
            }
            if !self.links.contains_key(&name) {
                break;
            }
        }
        self.links.insert(name.clone(), index);
        let ends = [(x, a.span), (y, b.span)].map(|(node, span)| {
            draft.nodes[node].interfaces.push(new_interface(Wire::Link(index), span));
            (node, draft.nodes[node].interfaces.len() - 1)
        });
        draft.links.push(Link { statement, name, subnets: Vec::new(), ends, broken: faulty });
    }

    /// Puts a node, or all members of an array, on its nets.
    fn attach<'t>(
        &self,
        statement: &'t NodeStatement,
        first: usize,
        draft: &mut Draft<'t>,
        report: &mut Report,
    ) {
        let mut found = Vec::new();
        let mut broken = false;
        for attachment in &statement.attachments {
            let Some(net) = self.net(&attachment.net, draft, report) else {
                broken = true;
                continue;
            };
            if found.iter().any(|(other, _)| *other == net) {
                let message = format!("`{}` is on `{}` twice", statement.name.value, attachment.net.value);
                report
                    .error(attachment.net.span, message, "a node has one interface on a net")
                    .help(format!("for several addresses write `{}=.1,.2`", attachment.net.value));
                continue;
            }
            found.push((net, attachment));
        }
        if draft.nodes[first].duplicate {
            return;
        }
        for node in first.. {
            if draft.nodes.get(node).and_then(|n| n.statement).is_none_or(|s| !std::ptr::eq(s, statement)) {
                break;
            }
            draft.nodes[node].broken |= broken;
            for &(net, attachment) in &found {
                let interface = draft.nodes[node].interfaces.len();
                // Beyond what can be, members are only counted: an array on many nets would take much memory
                // before its error is reported.
                draft.nets[net].joined += 1;
                if draft.nets[net].joined > MAX_PORTS + 1 {
                    draft.nodes[node].broken = true;
                    continue;
                }
                draft.nets[net].members.push((node, interface));
                let new = new_interface(Wire::Net(net), attachment.net.span);
                draft.nodes[node].interfaces.push(Interface { attachment: Some(attachment), ..new });
            }
        }
        for nic in &statement.attributes.nics {
            machine::attach(nic, first, draft, report);
        }
    }

    /// The node of a name; an error when there is none.
    pub fn node(&self, name: &Spanned<String>, draft: &Draft<'_>, report: &mut Report) -> Option<usize> {
        match self.nodes.get(&name.value.to_lowercase()) {
            Some(Declared { what: Known::Node(node), name: exact, .. }) if *exact == name.value => {
                Some(*node)
            }
            Some(Declared { what: Known::Array(array), .. }) => {
                let members: Vec<&str> =
                    draft.arrays[*array].members.iter().map(|m| draft.nodes[*m].name.as_str()).collect();
                let message = format!("`{}` is an array", name.value);
                let label = format!("name one of its members: {}", crate::diagnostic::enumerate(members));
                report.error(name.span, message, label);
                None
            }
            _ if self.lenient => None,
            _ => {
                let known = draft.nodes.iter().map(|node| node.name.as_str());
                let label = suggestion("nodes", &name.value, known);
                report.error(name.span, format!("unknown node `{}`", name.value), label);
                None
            }
        }
    }

    /// The net of an attachment; an error when there is none.
    fn net(&self, name: &Spanned<String>, draft: &Draft<'_>, report: &mut Report) -> Option<usize> {
        let found = self.exact_net(&name.value);
        if found.is_none() && !self.lenient {
            let mut label = nets_here(&name.value, draft);
            if let Some(word) = nearest(&name.value, crate::syntax::node_words())
                && !label.contains("did you mean")
            {
                label.push_str(&format!(" (did you mean the attribute `{word}`?)"));
            }
            let diagnostic = report.error(name.span, format!("unknown net `{}`", name.value), label);
            if self.links.contains_key(&name.value) {
                diagnostic.help(format!("`{}` is a link, whose ends are attached already", name.value));
            } else if self.nodes.contains_key(&name.value.to_lowercase()) {
                diagnostic.help(format!("to wire two nodes directly, write `link A {}`", name.value));
            }
        }
        found
    }

    fn exact_net(&self, name: &str) -> Option<usize> {
        let net = self.nets.get(&name.to_lowercase())?;
        (net.name == name).then_some(net.what)
    }

    /// The net or link of a name; an error when there is none.
    pub fn wire(&self, name: &Spanned<String>, draft: &Draft<'_>, report: &mut Report) -> Option<Wire> {
        if let Some(net) = self.exact_net(&name.value) {
            return Some(Wire::Net(net));
        }
        if let Some(link) = self.links.get(&name.value) {
            return Some(Wire::Link(*link));
        }
        let moved = |nic: &NicDraft<'_>| nic.end.is_some() && nic.name.value == name.value;
        if let Some(nic) = draft.nics.iter().position(moved) {
            return Some(Wire::Nic(nic));
        }
        if !self.lenient {
            let label = nets_here(&name.value, draft);
            report.error(name.span, format!("unknown net `{}`", name.value), label);
        }
        None
    }
}

fn nets_here(wrong: &str, draft: &Draft<'_>) -> String {
    suggestion("nets", wrong, draft.nets.iter().map(|net| net.statement.name.value.as_str()))
}

/// Where a name was declared first.
fn said_before<T>(first: &Declared<T>, name: &str, span: Span, report: &Report) -> String {
    let mut text = match (report.line(first.span), report.line(span)) {
        (first, here) if first == here => "first on the same line".to_owned(),
        (first, _) => format!("first on line {first}"),
    };
    if first.name != name {
        text.push_str(&format!(" as `{}`; case makes no difference", first.name));
    }
    text
}
