//! A node's tables and a net's, what came to them and went, and how many.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use super::change::Change;
use super::expect::table;
use super::{Bounds, LabError, Net, Node};
use crate::kernel::inspect::{FdbEntry, Flow, Neighbour, Route, Socket};

/// A node's tables at one moment, [`Node::tables`]; or a net's, [`Net::tables`].
///
/// ```no_run
/// # async fn example(client: netlab_runtime::lab::Node, gate: netlab_runtime::lab::Node) -> netlab_runtime::error::Result {
/// let before = gate.tables()?;
/// client.ping("8.8.8.8").await?;
/// before.changed()?.appeared("neighbour 8.8.8.8").flows("icmp", 1).routes("", 0).check()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tables {
    of: Of,
    /// As [`Node::routes`]; a net has none.
    pub routes: Vec<Route>,
    /// As [`Node::neighbours`]; a net has none.
    pub neighbours: Vec<Neighbour>,
    /// As [`Node::sockets`]; a net has none.
    pub sockets: Vec<Socket>,
    /// As [`Node::conntrack`]; a net has none.
    pub flows: Vec<Flow>,
    /// As [`Net::fdb`]; a node has none.
    pub fdb: Vec<FdbEntry>,
}

/// Whose tables these are.
#[derive(Clone, Debug)]
enum Of {
    Node(Node),
    Net(Net),
}

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Routes,
    Neighbours,
    Sockets,
    Flows,
    Fdb,
}

/// What came to tables and went, and what is to have; made by [`Tables::changed`], to be ended with [`check`](Self::check). Its
/// `Display` is the difference, a line an entry: `+ socket tcp LISTEN 0.0.0.0:80`, `- neighbour 10.0.0.2 dev eth0 lladdr ...`,
/// `+ route ...`, `+ flow ...`, `+ fdb 02:00:00:00:00:01 dev web (node web)`.
///
/// What changes by itself is left out: how fresh a neighbour is, when a connection is forgotten, how much is queued or counted.
#[derive(Clone, Debug)]
pub struct TableChanges {
    before: Tables,
    after: Tables,
    lines: Vec<Line>,
    rows: Vec<Change>,
    expected: Vec<(Way, String)>,
}

/// Tables that did not change as expected. Its `Display` is a table of the numbers expected, a list of the entries expected, and the
/// difference.
pub struct WrongTables(Box<TableChanges>);

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
            routes: self.routes()?,
            neighbours: self.neighbours()?,
            sockets: self.sockets()?,
            flows: self.conntrack()?,
            ..Tables::none(Of::Node(self.clone()))
        })
    }
}

impl Net {
    /// Its forwarding table, and, by [`Tables::changed`], what came to it and went since.
    ///
    /// By hand: `bridge fdb show br NET`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn tables(&self) -> Result<Tables, LabError> {
        Ok(Tables { fdb: self.fdb()?, ..Tables::none(Of::Net(self.clone())) })
    }
}

impl Of {
    fn tables(&self) -> Result<Tables, LabError> {
        match self {
            Self::Node(node) => node.tables(),
            Self::Net(net) => net.tables(),
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node `{}`", node.name()),
            Self::Net(net) => write!(f, "net `{}`", net.name()),
        }
    }
}

impl Table {
    const ALL: [Self; 5] = [Self::Routes, Self::Neighbours, Self::Sockets, Self::Flows, Self::Fdb];

    /// What a line of it begins with.
    fn word(self) -> &'static str {
        match self {
            Self::Routes => "route",
            Self::Neighbours => "neighbour",
            Self::Sockets => "socket",
            Self::Flows => "flow",
            Self::Fdb => "fdb",
        }
    }
}

impl Tables {
    fn none(of: Of) -> Self {
        Self {
            of,
            routes: Vec::new(),
            neighbours: Vec::new(),
            sockets: Vec::new(),
            flows: Vec::new(),
            fdb: Vec::new(),
        }
    }

    /// Reads the tables again, to say what is to have come and gone.
    ///
    /// # Errors
    ///
    /// The kernel refused a question.
    pub fn changed(&self) -> Result<TableChanges, LabError> {
        let after = self.of.tables()?;
        // How often each line is there more than before.
        let mut more: BTreeMap<String, i64> = BTreeMap::new();
        for line in after.all_lines() {
            *more.entry(line).or_default() += 1;
        }
        for line in self.all_lines() {
            *more.entry(line).or_default() -= 1;
        }
        let lines = more.into_iter().filter(|(_, more)| *more != 0);
        let lines =
            lines.map(|(text, more)| Line { text, way: if more > 0 { Way::Come } else { Way::Gone } });
        let lines = lines.collect();
        Ok(TableChanges { before: self.clone(), after, lines, rows: Vec::new(), expected: Vec::new() })
    }

    fn all_lines(&self) -> impl Iterator<Item = String> {
        Table::ALL.into_iter().flat_map(|table| self.lines(table))
    }

    /// How many entries of a table have `text` in their line.
    fn count(&self, table: Table, text: &str) -> Result<u64, String> {
        match (&self.of, table) {
            (Of::Node(_), Table::Fdb) => Err(format!("{} has no forwarding table: a net has one", self.of)),
            (Of::Net(_), Table::Fdb) | (Of::Node(_), _) => {
                Ok(self.lines(table).iter().filter(|line| line.contains(text)).count() as u64)
            }
            (Of::Net(_), _) => {
                Err(format!("{} has a forwarding table, and no {}s: nodes have", self.of, table.word()))
            }
        }
    }

    /// The entries of a table as lines, without what changes by itself.
    fn lines(&self, table: Table) -> Vec<String> {
        let lines: Vec<_> = match table {
            Table::Routes => self.routes.iter().map(ToString::to_string).collect(),
            Table::Neighbours => self.neighbours.iter().map(without_state).collect(),
            Table::Sockets => self.sockets.iter().map(without_queues).collect(),
            Table::Flows => self.flows.iter().map(without_counts).collect(),
            Table::Fdb => self.fdb.iter().map(ToString::to_string).collect(),
        };
        lines.into_iter().map(|line| format!("{} {line}", table.word())).collect()
    }
}

fn without_state(neighbour: &Neighbour) -> String {
    let Neighbour { addr, mac, dev, .. } = neighbour;
    let mac = mac.map_or_else(|| "unknown".to_owned(), |mac| mac.to_string());
    format!("{addr} dev {dev} lladdr {mac}")
}

fn without_queues(socket: &Socket) -> String {
    let Socket { protocol, state, local, remote, .. } = socket;
    let remote = remote.map_or_else(String::new, |remote| format!(" {remote}"));
    format!("{protocol} {state} {local}{remote}")
}

fn without_counts(flow: &Flow) -> String {
    let mut lasting = flow.clone();
    lasting.timeout = None;
    (lasting.original.counted, lasting.reply.counted) = (None, None);
    lasting.to_string()
}

/// Declares a method for a table.
macro_rules! of_tables {
    ($($(#[$doc:meta])* $name:ident: $table:ident;)*) => {$(
        $(#[$doc])*
        #[must_use = "what is to have changed proves nothing until `check` is called"]
        pub fn $name(self, text: impl AsRef<str>, by: impl Into<Bounds<i64>>) -> Self {
            self.and_number(Table::$table, text.as_ref(), by.into())
        }
    )*};
}

impl TableChanges {
    of_tables! {
        /// By how many there are more routes that have `text` in their line; `""` is all of them.
        routes: Routes;
        /// By how many there are more neighbours that have `text` in their line; `""` is all of them.
        neighbours: Neighbours;
        /// By how many there are more sockets that have `text` in their line, as in `tcp LISTEN`; `""` is all of them.
        sockets: Sockets;
        /// By how many there are more tracked connections that have `text` in their line, as in `udp` or `dport=80`; `""` is all of them.
        flows: Flows;
        /// By how many there are more entries of the forwarding table that have `text` in their line, as in `node web`; `""` is all of
        /// them.
        fdb: Fdb;
    }

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

    /// The tables as they were.
    pub fn before(&self) -> &Tables {
        &self.before
    }

    /// The tables as they are.
    pub fn after(&self) -> &Tables {
        &self.after
    }

    /// Whether nothing has come or gone.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Checks all that was said; where nothing was, that nothing has come or gone.
    ///
    /// # Errors
    ///
    /// Not all is so: a table with how many there were before and after, the change, and what was expected; and all that came and
    /// went.
    pub fn check(self) -> Result<(), WrongTables> {
        let holds = if self.expects_nothing() {
            self.is_empty()
        } else {
            self.rows.iter().all(Change::holds)
                && self.expected.iter().all(|(way, text)| self.has(*way, text))
        };
        if holds { Ok(()) } else { Err(WrongTables(Box::new(self))) }
    }

    fn expects_nothing(&self) -> bool {
        self.rows.is_empty() && self.expected.is_empty()
    }

    fn and_number(mut self, table: Table, text: &str, by: Bounds<i64>) -> Self {
        let word = table.word();
        let what = if text.is_empty() { format!("any {word}") } else { format!("{word} `{text}`") };
        let counted = self.before.count(table, text);
        let counted = counted.and_then(|before| Ok((before, self.after.count(table, text)?)));
        self.rows.push(Change::of_a_number(what, counted, by));
        self
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
        let TableChanges { before, lines, rows, expected, .. } = &**changes;
        write!(f, "{}: its tables did not change as expected", before.of)?;
        if !rows.is_empty() {
            let cells = rows.iter().map(|row| row.cells("no such table"));
            table::write(f, &[Change::header("entries")].into_iter().chain(cells).collect::<Vec<_>>())?;
            let mut problems = rows.iter().filter_map(Change::problem);
            problems.try_for_each(|problem| write!(f, "\n  {problem}"))?;
        }
        let rows: Vec<_> = expected
            .iter()
            .map(|(way, text)| {
                let mark = if changes.has(*way, text) { "✓" } else { "✗" };
                vec![mark.to_owned(), format!("{way} ..{text}..")]
            })
            .collect();
        table::write(f, &rows)?;
        let seen = match (lines.is_empty(), changes.expects_nothing()) {
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
