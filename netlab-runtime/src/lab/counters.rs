//! What a node's kernel has counted, and by how much that changed.

use std::error::Error as StdError;
use std::fmt;

use super::change::Change;
use super::expect::table;
use super::{Bounds, LabError, Node};
use crate::kernel::inspect::{InterfaceCounters, QdiscCounters, RuleCounters};

/// What the kernel has counted in a node at one moment: [`Node::counters`].
///
/// ```no_run
/// # async fn example(client: netlab_runtime::lab::Node, gate: netlab_runtime::lab::Node) -> netlab_runtime::error::Result {
/// let before = gate.counters()?;
/// client.ping("8.8.8.8").await?;
/// before.changed()?.rule("masquerade", 1).tx_packets("eth1", 1..).tx_dropped("eth1", 0).check()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Counters {
    node: Node,
    /// By interface.
    pub interfaces: Vec<InterfaceCounters>,
    /// By queueing discipline; none on a kernel without them.
    pub qdiscs: Vec<QdiscCounters>,
    /// By rule of nf_tables, those with a counter: all that netlab makes, and all of `iptables` where that is its successor for
    /// nf_tables (`iptables --version` says `nf_tables`).
    pub rules: Vec<RuleCounters>,
    /// Tables of `iptables-legacy` that are there, as in `ip filter`: what their rules count is not read. Of the host of a sandbox with one user
    /// the kernel lists none, and an entry for each IP version says so.
    pub unread: Vec<String>,
}

/// Counters before and after, and how they are to have changed; made by [`Counters::changed`], to be ended with
/// [`check`](Self::check).
#[must_use = "how counters are to have changed proves nothing until `check` is called"]
#[derive(Clone, Debug)]
pub struct Changes {
    before: Counters,
    after: Counters,
    rows: Vec<Change>,
}

/// Counters that did not change as expected. Its `Display` is a table of all that was expected.
pub struct WrongChange {
    node: String,
    rows: Vec<Change>,
}

impl Counters {
    pub(super) fn new(
        node: Node,
        interfaces: Vec<InterfaceCounters>,
        qdiscs: Vec<QdiscCounters>,
        rules: Vec<RuleCounters>,
        unread: Vec<String>,
    ) -> Self {
        Self { node, interfaces, qdiscs, rules, unread }
    }

    /// Those of one interface.
    ///
    /// # Errors
    ///
    /// There is none of that name; says which there are.
    pub fn interface(&self, name: &str) -> Result<&InterfaceCounters, LabError> {
        self.interfaces.iter().find(|counters| counters.name == name).ok_or_else(|| {
            let names: Vec<_> = self.interfaces.iter().map(|counters| counters.name.as_str()).collect();
            LabError::msg(format!(
                "node `{}` has no interface `{name}`; interfaces there: {}",
                self.node.name(),
                names.join(", ")
            ))
        })
    }

    /// Those of the rules that have `text` in their wording, chain or table, added up.
    ///
    /// # Errors
    ///
    /// There is no rule with a counter that has; says which there are, and whether there are [any that are not read](Self::unread).
    pub fn rule(&self, text: &str) -> Result<RuleCounters, LabError> {
        let named = |rule: &RuleCounters| format!("{} {} {}", rule.table, rule.chain, rule.rule);
        let mut found = self.rules.iter().filter(|rule| named(rule).contains(text)).cloned();
        let first = found.next().ok_or_else(|| {
            let rules: Vec<_> = self.rules.iter().map(|rule| format!("\n    {}", named(rule))).collect();
            let there = if rules.is_empty() {
                "no rule there has a counter".to_owned()
            } else {
                format!("rules with a counter there:{}", rules.concat())
            };
            let unread = if self.unread.is_empty() {
                String::new()
            } else {
                let unread = self.unread.join(", ");
                format!("\n  rules of iptables-legacy are not read; its tables there: {unread}")
            };
            LabError::msg(format!("node `{}` has no rule like `{text}`; {there}{unread}", self.node.name()))
        })?;
        Ok(found.fold(first, |sum, rule| RuleCounters {
            packets: sum.packets + rule.packets,
            bytes: sum.bytes + rule.bytes,
            ..sum
        }))
    }

    /// Counts again, to say how that is to have changed.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn changed(&self) -> Result<Changes, LabError> {
        Ok(Changes { before: self.clone(), after: self.node.counters()?, rows: Vec::new() })
    }
}

/// Declares a method for a counter of interfaces.
macro_rules! of_interfaces {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(self, interface: &str, by: impl Into<Bounds>) -> Self {
            let what = format!(concat!("{} ", stringify!($name)), interface);
            self.and(what, by, |counters| Ok(counters.interface(interface)?.$name))
        }
    )*};
}

impl Changes {
    of_interfaces! {
        /// By how many packets an interface received more.
        rx_packets;
        /// By how many packets an interface sent more.
        tx_packets;
        /// By how many bytes an interface received more.
        rx_bytes;
        /// By how many bytes an interface sent more.
        tx_bytes;
        /// By how many bad packets an interface received more.
        rx_errors;
        /// By how many packets more an interface could not send.
        tx_errors;
        /// By how many packets more an interface dropped after it received them.
        rx_dropped;
        /// By how many packets more an interface dropped before it sent them.
        tx_dropped;
    }

    /// By how many packets more came to the rules that have `text` in their wording, chain or table.
    pub fn rule(self, text: &str, by: impl Into<Bounds>) -> Self {
        self.and(format!("rule `{text}` packets"), by, |counters| Ok(counters.rule(text)?.packets))
    }

    /// By how many packets more the queueing disciplines of an interface dropped.
    pub fn qdisc_dropped(self, interface: &str, by: impl Into<Bounds>) -> Self {
        self.and(format!("{interface} qdisc dropped"), by, |counters| {
            counters.interface(interface)?;
            let of = counters.qdiscs.iter().filter(|qdisc| qdisc.dev == interface);
            Ok(of.map(|qdisc| u64::from(qdisc.dropped)).sum())
        })
    }

    /// The counters as they were.
    pub fn before(&self) -> &Counters {
        &self.before
    }

    /// The counters as they are.
    pub fn after(&self) -> &Counters {
        &self.after
    }

    /// Checks all that was said.
    ///
    /// # Errors
    ///
    /// Not all is so: a table with each counter before and after, its change, and what was expected. So it is when nothing
    /// was said.
    pub fn check(self) -> Result<(), WrongChange> {
        if !self.rows.is_empty() && self.rows.iter().all(Change::holds) {
            return Ok(());
        }
        Err(WrongChange { node: self.before.node.name().to_owned(), rows: self.rows })
    }

    fn and(
        mut self,
        what: String,
        by: impl Into<Bounds>,
        count: impl Fn(&Counters) -> Result<u64, LabError>,
    ) -> Self {
        let counted = count(&self.before).and_then(|before| Ok((before, count(&self.after)?)));
        let counted = counted.map_err(|error| error.to_string());
        self.rows.push(Change::of_a_counter(what, counted, by.into()));
        self
    }
}

impl fmt::Display for WrongChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, rows } = self;
        if rows.is_empty() {
            return write!(
                f,
                "node `{node}`: no change was expected of any counter: such a check proves nothing"
            );
        }
        let wrong = rows.iter().filter(|row| !row.holds()).count();
        write!(f, "node `{node}`: {wrong} of {} counters did not change as expected", rows.len())?;
        let cells = rows.iter().map(|row| row.cells("no such counter"));
        table::write(f, &[Change::header("counter")].into_iter().chain(cells).collect::<Vec<_>>())?;
        let mut problems = rows.iter().filter_map(Change::problem);
        problems.try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The table: this is what a failed `unwrap` shows.
impl fmt::Debug for WrongChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for WrongChange {}
