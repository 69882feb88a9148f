//! Topologies that are computed when the test runs: `topology = path`.

use std::fmt::Debug;

use netlab_topology::Topology;

/// What `#[netlab::test(topology = ...)]` may name: a [`ComputedTopology`], or a function that returns one.
///
/// `By` only tells the two implementations apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not give a topology",
    label = "gives no topology",
    note = "`topology` takes a text, the name of a `.topo` file, or the path of a function that returns a `Topology` \
            (or a `Result` with one), or a constant with the text"
)]
pub trait GivesTopology<By>: Sized {
    /// Gives the topology of the test called `test`.
    ///
    /// # Panics
    ///
    /// With what is wrong with the topology: this runs as a part of the test.
    fn topology(self, test: &str) -> Topology;
}

/// The value is the topology.
#[derive(Debug)]
pub struct ByValue;

/// The value is a function that returns the topology.
#[derive(Debug)]
pub struct ByCall;

#[diagnostic::do_not_recommend]
impl<T: ComputedTopology> GivesTopology<ByValue> for T {
    fn topology(self, test: &str) -> Topology {
        self.computed(test)
    }
}

#[diagnostic::do_not_recommend]
impl<F: FnOnce() -> T, T: ComputedTopology> GivesTopology<ByCall> for F {
    fn topology(self, test: &str) -> Topology {
        self().computed(test)
    }
}

/// A topology, its text, or a `Result` with one of these.
pub trait ComputedTopology: Sized {
    /// Gives the topology of the test called `test`.
    ///
    /// # Panics
    ///
    /// With what is wrong with the topology.
    fn computed(self, test: &str) -> Topology;
}

impl ComputedTopology for Topology {
    fn computed(self, _test: &str) -> Topology {
        self
    }
}

impl ComputedTopology for &str {
    fn computed(self, test: &str) -> Topology {
        match Topology::parse(self, &format!("topology of `{test}`")) {
            Ok(topology) => topology,
            Err(diagnostics) => panic!("{diagnostics}"),
        }
    }
}

impl ComputedTopology for String {
    fn computed(self, test: &str) -> Topology {
        self.as_str().computed(test)
    }
}

impl<T: ComputedTopology, E: Debug> ComputedTopology for Result<T, E> {
    fn computed(self, test: &str) -> Topology {
        match self {
            Ok(topology) => topology.computed(test),
            Err(error) => panic!("{error:?}"),
        }
    }
}
