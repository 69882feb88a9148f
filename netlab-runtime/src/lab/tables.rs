//! A node's tables, and what came to them and went.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use super::expect::table;
use super::{LabError, Node};
use crate::kernel::inspect::{Flow, Neighbour, Route, Socket};

/// A node's tables at one moment: [`Node::tables`].
///
/// ```no_run
/// # async fn example(client: netlab_runtime::lab::Node, gate: netlab_runtime::lab::Node) -> netlab_runtime::error::Result {
/// let before = gate.tables()?;
/// client.ping("8.8.8.8").await?;
/// before.changed()?.appeared("flow icmp").appeared("neighbour 8.8.8.8").check()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tables {
    node: Node,
    /// As [`Node::routes`].
    pub routes: Vec<Route>,
    /// As [`Node::neighbours`].
    pub neighbours: Vec<Neighbour>,
    /// As [`Node::sockets`].
    pub sockets: Vec<Socket>,
    /// As [`Node::conntrack`].
    pub flows: Vec<Flow>,
}

/// What came to a node's tables and went, and what is to have; made by [`Tables::changed`]. Its `Display` is the difference, a line
/// an entry: `+ socket tcp LISTEN 0.0.0.0:80`, `- neighbour 10.0.0.2 dev eth0 lladdr ...`, `+ route ...`, `+ flow ...`.
///
/// What changes by itself is left out: how fresh a neighbour is, when a connection is forgotten, how much is queued or counted.
#[derive(Clone, Debug)]
pub struct TableChanges {
    node: String,
    lines: Vec<Line>,
    expected: Vec<(Way, String)>,
}

/// Tables that did not change as expected. Its `Display` is a list of what was expected, and the difference.
pub struct WrongTables(TableChanges);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    text: String,
    way: Way,
}

/// Which way an entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Gone,
    Come,
}

impl Node {
    /// Its routes, neighbours, sockets and tracked connections, and, by [`Tables::changed`], what came to them and went since.
    ///
    /// By hand: `ip route; ip -6 route; ip neigh; ss -tuan; conntrack -L`.
    ///
    /// # Errors
    ///
    /// The kernel refused a question.
    pub fn tables(&self) -> Result<Tables, LabError> {
        Ok(Tables {
            node: self.clone(),
            routes: self.routes()?,
            neighbours: self.neighbours()?,
            sockets: self.sockets()?,
            flows: self.conntrack()?,
        })
    }
}

impl Tables {
    /// Reads the tables again, to say what is to have come and gone.
    ///
    /// # Errors
    ///
    /// The kernel refused a question.
    pub fn changed(&self) -> Result<TableChanges, LabError> {
        // How often each line is there more than before.
        let mut more: BTreeMap<String, i64> = BTreeMap::new();
        for line in self.node.tables()?.lines() {
            *more.entry(line).or_default() += 1;
        }
        for line in self.lines() {
            *more.entry(line).or_default() -= 1;
        }
        let lines = more.into_iter().filter(|(_, more)| *more != 0);
        let lines =
            lines.map(|(text, more)| Line { text, way: if more > 0 { Way::Come } else { Way::Gone } });
        Ok(TableChanges { node: self.node.name().to_owned(), lines: lines.collect(), expected: Vec::new() })
    }

    /// The entries as lines, without what changes by itself.
    fn lines(&self) -> Vec<String> {
        let routes = self.routes.iter().map(|route| format!("route {route}"));
        let neighbours = self.neighbours.iter().map(|neighbour| {
            let Neighbour { addr, mac, dev, .. } = neighbour;
            let mac = mac.map_or_else(|| "unknown".to_owned(), |mac| mac.to_string());
            format!("neighbour {addr} dev {dev} lladdr {mac}")
        });
        let sockets = self.sockets.iter().map(|socket| {
            let Socket { protocol, state, local, remote, .. } = socket;
            let remote = remote.map_or_else(String::new, |remote| format!(" {remote}"));
            format!("socket {protocol} {state} {local}{remote}")
        });
        let flows = self.flows.iter().map(|flow| {
            let mut lasting = flow.clone();
            lasting.timeout = None;
            (lasting.original.counted, lasting.reply.counted) = (None, None);
            format!("flow {lasting}")
        });
        routes.chain(neighbours).chain(sockets).chain(flows).collect()
    }
}

impl TableChanges {
    /// An entry that has `text` in its line has come.
    #[must_use = "what is to have changed proves nothing until `check` is called"]
    pub fn appeared(self, text: impl Into<String>) -> Self {
        self.and(Way::Come, text.into())
    }

    /// An entry that has `text` in its line has gone.
    #[must_use = "what is to have changed proves nothing until `check` is called"]
    pub fn vanished(self, text: impl Into<String>) -> Self {
        self.and(Way::Gone, text.into())
    }

    /// Whether nothing has come or gone.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Checks all that was said; where nothing was, that nothing has come or gone.
    ///
    /// # Errors
    ///
    /// Not all is so: what was expected, and all that came and went.
    pub fn check(self) -> Result<(), WrongTables> {
        let holds = if self.expected.is_empty() {
            self.is_empty()
        } else {
            self.expected.iter().all(|(way, text)| self.has(*way, text))
        };
        if holds { Ok(()) } else { Err(WrongTables(self)) }
    }

    fn and(mut self, way: Way, text: String) -> Self {
        self.expected.push((way, text));
        self
    }

    fn has(&self, way: Way, text: &str) -> bool {
        self.lines.iter().any(|line| line.way == way && line.text.contains(text))
    }
}

impl fmt::Display for TableChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.lines.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.way, self.text)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "-",
            Self::Come => "+",
        })
    }
}

impl fmt::Display for WrongTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(changes) = self;
        let TableChanges { node, lines, expected } = changes;
        write!(f, "node `{node}`: its tables did not change as expected")?;
        let rows: Vec<_> = expected
            .iter()
            .map(|(way, text)| {
                let mark = if changes.has(*way, text) { "✓" } else { "✗" };
                vec![mark.to_owned(), format!("{way} ..{text}..")]
            })
            .collect();
        table::write(f, &rows)?;
        let seen = match (lines.is_empty(), expected.is_empty()) {
            (true, _) => "nothing has come or gone",
            (false, true) => "nothing was to come or go, and this did:",
            (false, false) => "what came and went:",
        };
        write!(f, "\n  {seen}")?;
        lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// The list: this is what a failed `unwrap` shows.
impl fmt::Debug for WrongTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for WrongTables {}
