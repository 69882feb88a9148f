//! Everything the kernel has of a lab, as text.

use std::fmt;

use netlab_topology::plan::Place;

use super::state::State;
use super::{Lab, LabError};
use crate::kernel::inspect::{self, FdbEntry, Interface, Names, Neighbour, Route};

/// The state of a lab at one moment, read back from the kernel. Its `Display` is text for a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// What the lab is called.
    pub lab: String,
    /// Every namespace: the host, the nodes, and the one that the switches are in.
    pub nodes: Vec<NodeDump>,
}

/// The state of one namespace of a lab.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeDump {
    /// The node's name.
    pub name: String,
    /// Its interfaces with their addresses, by index.
    pub interfaces: Vec<Interface>,
    /// Its main routing tables.
    pub routes: Vec<Route>,
    /// Its neighbour tables.
    pub neighbours: Vec<Neighbour>,
    /// The forwarding tables of its bridges.
    pub fdb: Vec<(String, Vec<FdbEntry>)>,
    /// Its firewall, as lines of `nft list ruleset`.
    pub rules: Vec<String>,
}

pub(super) fn dump(state: &std::sync::Arc<State>) -> Result<Dump, LabError> {
    let lab = Lab { state: std::sync::Arc::clone(state) };
    let nodes = lab.places().map(|place| dump_place(&lab, place)).collect::<Result<_, _>>()?;
    Ok(Dump { lab: state.name.clone(), nodes })
}

fn dump_place(lab: &Lab, place: Place) -> Result<NodeDump, LabError> {
    let state = &lab.state;
    let interfaces = state.interfaces(place)?;
    let names: Names = interfaces.iter().map(|interface| (interface.index, interface.name.clone())).collect();
    let routes = state.ask(place, "its routes cannot be read", |socket| inspect::routes(socket, &names))?;
    let neighbours =
        state.ask(place, "its neighbours cannot be read", |socket| inspect::neighbours(socket, &names))?;
    let mut fdb = Vec::new();
    for net in lab.nets() {
        let planned = &lab.plan().nets()[net.index()];
        if let Some(bridge) = planned.bridge.as_ref().filter(|_| planned.place == place) {
            fdb.push((bridge.name.to_string(), net.fdb()?));
        }
    }
    let rules = state.rules(place)?;
    Ok(NodeDump { name: lab.plan().place_name(place).to_owned(), interfaces, routes, neighbours, fdb, rules })
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lab {}", self.lab)?;
        self.nodes.iter().try_for_each(|node| write!(f, "\n{node}"))
    }
}

impl fmt::Display for NodeDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node {}", self.name)?;
        section(f, "interfaces", &self.interfaces)?;
        section(f, "routes", &self.routes)?;
        section(f, "neighbours", &self.neighbours)?;
        for (bridge, entries) in &self.fdb {
            section(f, &format!("forwarding table of {bridge}"), entries)?;
        }
        section(f, "rules", &self.rules)
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[impl fmt::Display]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}")?;
    lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
}
