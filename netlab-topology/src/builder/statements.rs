//! The builder of a whole topology.

use super::items::{LinkBuilder, NetBuilder, NodeBuilder};
use crate::diagnostic::Diagnostics;
use crate::plan::Plan;
use crate::syntax::{Row, plain_or_quoted, print_rows};
use crate::topology::Topology;

/// A topology being built; see [`Topology::build`].
///
/// Values are what the language has behind the same word (`".11"`, `"192.168.1.0/24"`, `"8080/tcp"`), as text or
/// as anything that prints so, such as an `IpAddr`. Nothing fails before the end: the statements become text, and
/// errors point into that text, all at once, as they do for a topology that was written as text.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `finish` or `plan`"]
pub struct Builder {
    origin: String,
    rows: Vec<Row>,
}

impl Topology {
    /// Builds a topology in code, for what is computed.
    ///
    /// ```
    /// # use netlab_topology::Topology;
    /// # fn main() -> Result<(), netlab_topology::Diagnostics> {
    /// let topology = Topology::build()
    ///     .net("lan", |net| net.cidr("192.168.1.0/24"))
    ///     .net("wan", |net| net)
    ///     .router("gw", |gw| gw.at("lan", ".1").on("wan").nat_from("wan", "lan"))
    ///     .nodes("web", 2, |web| web.at("lan", ".11"))
    ///     .node("client", |client| client.on("wan"))
    ///     .finish()?;
    /// assert_eq!(
    ///     topology.to_string(),
    ///     "\
    /// net    lan    192.168.1.0/24
    /// net    wan
    /// router gw     lan=.1 wan nat(wan from=lan)
    /// node   web[2] lan=.11
    /// node   client wan"
    /// );
    /// # topology.plan()?; Ok(()) }
    /// ```
    pub fn build() -> Builder {
        Builder { origin: "the topology as built".to_owned(), rows: Vec::new() }
    }
}

impl Builder {
    /// How errors call it.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Adds a net.
    pub fn net(self, name: impl AsRef<str>, net: impl FnOnce(NetBuilder) -> NetBuilder) -> Self {
        self.row("net", plain_or_quoted(name.as_ref()), net(NetBuilder::new()).into_text())
    }

    /// Adds a link between two nodes.
    pub fn link(
        self,
        a: impl AsRef<str>,
        b: impl AsRef<str>,
        link: impl FnOnce(LinkBuilder) -> LinkBuilder,
    ) -> Self {
        let nodes = format!("{} {}", plain_or_quoted(a.as_ref()), plain_or_quoted(b.as_ref()));
        self.row("link", nodes, link(LinkBuilder::new()).into_text())
    }

    /// Adds a node.
    pub fn node(self, name: impl AsRef<str>, node: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        self.row("node", plain_or_quoted(name.as_ref()), node(NodeBuilder::new()).into_text())
    }

    /// Adds an array of nodes, `NAME1` to `NAMEcount`, whose addresses count up from those given.
    pub fn nodes(
        self,
        name: impl AsRef<str>,
        count: u32,
        node: impl FnOnce(NodeBuilder) -> NodeBuilder,
    ) -> Self {
        let name = format!("{}[{count}]", plain_or_quoted(name.as_ref()));
        self.row("node", name, node(NodeBuilder::new()).into_text())
    }

    /// Adds a router: a node that forwards.
    pub fn router(self, name: impl AsRef<str>, router: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        self.row("router", plain_or_quoted(name.as_ref()), router(NodeBuilder::new()).into_text())
    }

    /// Adds an array of routers.
    pub fn routers(
        self,
        name: impl AsRef<str>,
        count: u32,
        router: impl FnOnce(NodeBuilder) -> NodeBuilder,
    ) -> Self {
        let name = format!("{}[{count}]", plain_or_quoted(name.as_ref()));
        self.row("router", name, router(NodeBuilder::new()).into_text())
    }

    /// The topology, its grammar checked.
    ///
    /// # Errors
    ///
    /// All values that are not what the language has in their place, as lines of the topology as text.
    pub fn finish(self) -> Result<Topology, Diagnostics> {
        let mut text = String::new();
        match print_rows(&self.rows, &mut text) {
            Ok(()) => Topology::parse(&text, &self.origin),
            Err(std::fmt::Error) => unreachable!("writing to a string does not fail"),
        }
    }

    /// The plan of the topology: [`finish`](Self::finish) and [`Topology::plan`].
    ///
    /// # Errors
    ///
    /// As these two.
    pub fn plan(self) -> Result<Plan, Diagnostics> {
        self.finish()?.plan()
    }

    fn row(mut self, verb: &'static str, name: String, rest: String) -> Self {
        self.rows.push((verb, name, rest));
        self
    }
}
