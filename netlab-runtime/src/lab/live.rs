//! STUB, replaced by the helper of `lab`: only the signatures others build against.
use std::os::fd::BorrowedFd;

use netlab_topology::Plan;

use crate::error::Error;
use crate::registry::FromLab;

/// The live network of one test.
#[derive(Clone, Debug)]
pub struct Lab;
/// A namespace with a name.
#[derive(Clone, Debug)]
pub struct Node;
/// A switched segment.
#[derive(Clone, Debug)]
pub struct Net;
/// A direct wire between two nodes.
#[derive(Clone, Debug)]
pub struct Link;

impl Lab {
    /// Builds the lab. The calling thread is in the host's namespace; so is the whole process.
    pub fn build(plan: Plan) -> Result<Self, Error> {
        drop(plan);
        Ok(Self)
    }

    /// Descriptors of every network namespace of the lab, the host's included: what the runner retires.
    pub fn namespaces(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// The text of `/etc/hosts` for a plan.
    pub fn hosts_file(plan: &Plan) -> String {
        drop(plan.nodes());
        String::new()
    }
}

impl FromLab for Lab {
    fn from_lab(lab: &Lab, _name: &str) -> Result<Self, Error> {
        Ok(lab.clone())
    }
}
