//! Topologies that are computed when the test runs: `topology = path`.

use std::fmt::Debug;

use netlab_topology::Topology;

/// What `#[netlab::test(topology = ...)]` may name: a function, a text, or a topology.
///
/// `By` only tells the implementations apart, so that a function and what it returns can both have one.
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

/// A topology as it is.
#[derive(Debug)]
pub struct ByValue;

/// Text in the topology language.
#[derive(Debug)]
pub struct ByText;

/// A function that returns what gives a topology.
#[derive(Debug)]
pub struct ByCall<By>(By);

/// A `Result` with what gives a topology.
#[derive(Debug)]
pub struct ByResult<By>(By);

impl GivesTopology<ByValue> for Topology {
    fn topology(self, _test: &str) -> Topology {
        self
    }
}

impl GivesTopology<ByText> for &str {
    fn topology(self, test: &str) -> Topology {
        match Topology::parse(self, test) {
            Ok(topology) => topology,
            Err(diagnostics) => panic!("{diagnostics}"),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<F, T, By> GivesTopology<ByCall<By>> for F
where
    F: FnOnce() -> T,
    T: GivesTopology<By>,
{
    fn topology(self, test: &str) -> Topology {
        self().topology(test)
    }
}

#[diagnostic::do_not_recommend]
impl<T, E, By> GivesTopology<ByResult<By>> for Result<T, E>
where
    T: GivesTopology<By>,
    E: Debug,
{
    fn topology(self, test: &str) -> Topology {
        match self {
            Ok(given) => given.topology(test),
            Err(error) => panic!("{error:?}"),
        }
    }
}
