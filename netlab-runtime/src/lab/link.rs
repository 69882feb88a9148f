//! Links.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use netlab_topology::plan::PlannedLink;

use super::Node;
use super::state::State;

/// A direct wire between two nodes of a lab: one veth pair.
#[derive(Clone)]
pub struct Link {
    state: Arc<State>,
    index: usize,
}

impl Link {
    pub(super) fn new(state: &Arc<State>, index: usize) -> Self {
        Self { state: Arc::clone(state), index }
    }

    fn plan(&self) -> &PlannedLink {
        &self.state.plan.links()[self.index]
    }

    /// The names of its nodes joined by `-`; `-2` and so on behind for further links between the same two.
    pub fn name(&self) -> &str {
        &self.plan().name
    }

    /// The two nodes, in the order of the topology.
    pub fn ends(&self) -> [Node; 2] {
        self.plan().ends.map(|(node, _interface)| Node::new(&self.state, node))
    }

    /// Its subnets, at most one of each family.
    pub fn subnets(&self) -> &[IpNet] {
        &self.plan().subnets
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.name())
    }
}
