//! The lab itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netlab_topology::Plan;
use netlab_topology::plan::Place;

use super::dump::{self, Dump};
use super::state::State;
use super::{LabError, Link, Net, Node, find, hosts};
use crate::kernel::{self, Arp, BuildError, Linux, OnTheMachine};
use crate::machine::Machine;

/// Whether this process was born in a sandbox: elsewhere a lab would be built into the machine's own network.
static IN_A_SANDBOX: AtomicBool = AtomicBool::new(false);

/// Says that this process was born in a sandbox.
pub(crate) fn in_a_sandbox() {
    IN_A_SANDBOX.store(true, Ordering::Relaxed);
}

/// The live network of one test.
///
/// A clone is another handle to the same lab.
///
/// # Teardown
///
/// The lab ends with its last handle ([`Lab`], [`Node`], [`Net`] and [`Link`] alike): the nodes' threads end, and the
/// kernel takes every namespace down with all that is in it, since nothing else holds one. What the lab made in the host's
/// own namespace ends with the sandbox.
#[derive(Clone, Debug)]
pub struct Lab {
    pub(super) state: Arc<State>,
}

impl Lab {
    /// Builds the lab of a plan around the calling thread's network namespace, which becomes the host, and waits until its
    /// wires are up.
    ///
    /// By hand: the lines of [`Plan::steps`], one after the other.
    ///
    /// # Errors
    ///
    /// What the kernel refused first. Nothing of the lab is left then. Outside a sandbox, that is outside of a function under
    /// `#[netlab::test]`, nothing is tried: the machine's own network is never touched.
    ///
    /// # Privileges
    ///
    /// `CAP_SYS_ADMIN` and `CAP_NET_ADMIN` in the user namespace that owns the network namespace, as every sandbox has them;
    /// Linux 5.9 or newer.
    pub fn build(plan: Plan) -> Result<Self, BuildError> {
        Self::build_named("lab", plan)
    }

    /// As [`build`](Self::build), with the name that messages call the lab by: the test's.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn build_named(name: impl Into<String>, plan: Plan) -> Result<Self, BuildError> {
        let name = name.into();
        if plan.machine().is_some() {
            return Err(BuildError::without_the_machine(&name, plan.place_name(Place::HOST)));
        }
        Self::build_with(name, plan, &mut Linux::default())
    }

    /// Builds a lab on the machine's own network. Names and indexes there are chosen first: what the lab's plan says of them are
    /// proposals. `keep` has the runner keep the namespace of the place of a name.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and where the machine has not what the lab needs.
    ///
    /// # Teardown
    ///
    /// What was done to the machine is in its journal, and the runner's to undo once the sandbox is dead.
    pub(crate) fn build_on_the_machine(
        name: impl Into<String>,
        plan: &Plan,
        machine: &mut Machine,
        keep: &dyn Fn(&str, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Self, BuildError> {
        let name = name.into();
        let place = plan.machine().unwrap_or(Place::HOST);
        let bound = machine.look().and_then(|there| machine.bind(plan, &there));
        let plan = bound.map_err(|error| BuildError::unfit(&name, plan.place_name(place), error.into()))?;
        Self::build_with(name, plan, &mut Linux(Some(OnTheMachine { machine, keep })))
    }

    fn build_with(name: String, plan: Plan, kernel: &mut Linux<'_>) -> Result<Self, BuildError> {
        if !IN_A_SANDBOX.load(Ordering::Relaxed) {
            return Err(BuildError::outside_a_sandbox(&name, plan.place_name(Place::HOST)));
        }
        let spaces = kernel::apply(kernel, &name, plan.places(), plan.machine(), plan.steps())?;
        Ok(Self { state: Arc::new(State::new(name, plan, spaces)) })
    }

    /// What messages call the lab by.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// What the lab was built from.
    pub fn plan(&self) -> &Plan {
        &self.state.plan
    }

    /// The node that the test body runs in.
    pub fn host(&self) -> Node {
        Node::new(&self.state, 0)
    }

    /// The node of this name.
    ///
    /// # Errors
    ///
    /// There is none; says which there are.
    pub fn node(&self, name: &str) -> Result<Node, LabError> {
        find::node(self, name)
    }

    /// All nodes in the order of the topology, the host first.
    pub fn nodes(&self) -> Vec<Node> {
        (0..self.plan().nodes().len()).map(|node| Node::new(&self.state, node)).collect()
    }

    /// The net of this name.
    ///
    /// # Errors
    ///
    /// There is none; says which there are.
    pub fn net(&self, name: &str) -> Result<Net, LabError> {
        find::net(self, name)
    }

    /// All nets in the order of the topology.
    pub fn nets(&self) -> Vec<Net> {
        (0..self.plan().nets().len()).map(|net| Net::new(&self.state, net)).collect()
    }

    /// The link of this name: the names of its nodes joined by `-`, as in `left-right`.
    ///
    /// # Errors
    ///
    /// There is none; says which there are.
    pub fn link(&self, name: &str) -> Result<Link, LabError> {
        find::link(self, name)
    }

    /// All links in the order of the topology.
    pub fn links(&self) -> Vec<Link> {
        (0..self.plan().links().len()).map(|link| Link::new(&self.state, link)).collect()
    }

    /// Everything the kernel has of the lab: links, addresses, routes, neighbours, forwarding tables and firewall rules of
    /// every namespace. Its `Display` is text for a person.
    ///
    /// By hand: `ip addr; ip route; ip -6 route; ip neigh; bridge fdb; nft list ruleset` in each namespace.
    ///
    /// # Errors
    ///
    /// The kernel refused a question, or a table changed each time it was read.
    pub fn dump(&self) -> Result<Dump, LabError> {
        dump::dump(&self.state)
    }

    /// The lab's folder, for files that several nodes share; `{lab.dir}` in [`Node::file`], `NETLAB_LAB_DIR` to programs. See
    /// [`Node::dir`].
    ///
    /// # Errors
    ///
    /// As [`Node::dir`].
    pub fn dir(&self) -> Result<PathBuf, LabError> {
        let folder = self.state.folder().map(|folder| folder.root().to_owned());
        folder
            .map_err(|error| LabError::io(format!("lab `{}`: its folder cannot be made", self.name()), error))
    }

    /// Descriptors of every network namespace of the lab, the host's first. While a duplicate of one is held anywhere, that
    /// namespace lives on.
    pub fn namespaces(&self) -> Vec<BorrowedFd<'_>> {
        self.state.namespaces().map(AsFd::as_fd).collect()
    }

    /// The text of `/etc/hosts` by which the names of a plan's nodes resolve in every one of them.
    pub fn hosts_file(plan: &Plan) -> String {
        hosts::file(plan)
    }

    /// The lines of [`hosts_file`](Self::hosts_file) that the nodes have, without those of the loopback.
    pub(crate) fn hosts_of_nodes(plan: &Plan) -> String {
        hosts::nodes(plan)
    }

    /// Has all nodes forget their neighbours, and learn no more: nothing more is to be sent.
    ///
    /// The kernel has one table of neighbours for all namespaces of the machine together (`arp_tbl` and `nd_tbl`; 1024 entries each,
    /// `net.ipv4.neigh.default.gc_thresh3`). What it has heard of lately it does not drop for half a minute, and where the table is
    /// full nobody finds a new neighbour. A lab whose namespaces are kept for later (`NETLAB_RETIRE`) is not to fill it.
    pub(crate) fn forget_neighbours(&self) -> Result<(), LabError> {
        if self.plan().machine().is_some() {
            // An interface of the machine's may be among them.
            return Ok(());
        }
        self.plan().nodes().iter().try_for_each(|node| self.state.forget_neighbours(node, Arp::Off))
    }

    /// The place of a name of [`Plan::places`], for what concerns namespaces that are no nodes.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        (0..self.plan().places().len()).map(Place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_sandbox_nothing_is_built() {
        let plan = netlab_topology::Topology::parse("node a", "test").unwrap().plan().unwrap();
        let error = Lab::build(plan).expect_err("this is the machine's own network");
        assert!(format!("{error:#}").contains("`#[netlab::test]`"), "{error:#}");
    }
}
