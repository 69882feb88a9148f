//! Nets.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use netlab_topology::plan::{PlannedNet, Wire};

use super::state::State;
use super::{LabError, Node};
use crate::kernel::inspect::{self, FdbEntry};

/// A switched segment of a lab: a bridge with its ports.
#[derive(Clone)]
pub struct Net {
    state: Arc<State>,
    index: usize,
}

impl Net {
    pub(super) fn new(state: &Arc<State>, index: usize) -> Self {
        Self { state: Arc::clone(state), index }
    }

    fn plan(&self) -> &PlannedNet {
        &self.state.plan.nets()[self.index]
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Its name in the topology.
    pub fn name(&self) -> &str {
        &self.plan().name
    }

    /// Its subnets, at most one of each family.
    pub fn subnets(&self) -> &[IpNet] {
        &self.plan().subnets
    }

    /// The nodes on it in the order of the topology, each once.
    pub fn members(&self) -> Vec<Node> {
        let on = |wire| wire == Wire::Net(self.index);
        let nodes = self.state.plan.nodes().iter().enumerate();
        nodes
            .filter(|(_, node)| node.interfaces.iter().any(|interface| on(interface.wire)))
            .map(|(index, _)| Node::new(&self.state, index))
            .collect()
    }

    /// The bridge's forwarding table: which address is behind which port, and which node is there.
    ///
    /// A net with `dev=` has no bridge here, and no entries. By how many they changed is told by [`tables`](Self::tables).
    ///
    /// By hand: `bridge fdb show br NET`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn fdb(&self) -> Result<Vec<FdbEntry>, LabError> {
        let PlannedNet { place, bridge, ports, .. } = self.plan();
        // A net that is what an interface of the machine is on has its switch elsewhere.
        let Some(bridge) = bridge else { return Ok(Vec::new()) };
        let names = self.state.interface_names(*place)?;
        let mut entries = self.state.ask(*place, "its forwarding table cannot be read", |socket| {
            inspect::fdb(socket, bridge.index, &names)
        })?;
        for entry in &mut entries {
            let port = ports.iter().find(|port| port.dev.index == entry.port_index);
            entry.node = port.map(|port| self.state.node(port.node).name.clone());
        }
        Ok(entries)
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({})", self.name())
    }
}
