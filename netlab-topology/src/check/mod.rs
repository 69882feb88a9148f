//! Topology to plan: collect errors, stop, produce.
//!
//! Every stage goes on after errors, so that all of a topology come at once; what an error makes unknowable
//! (`broken`) is left out of later stages. After the stop nothing can fail.

mod address;
mod addresses;
mod attributes;
mod devices;
mod draft;
mod names;
mod nat;
mod produce;
mod routes;
mod steps;
mod subnets;
mod sysctls;

use crate::diagnostic::{Diagnostics, Report};
use crate::model::Statement;
use crate::plan::Plan;
use crate::topology::Topology;

/// Checks a topology and resolves it.
pub(crate) fn plan(topology: &Topology) -> Result<Plan, Diagnostics> {
    let mut report = topology.report();
    let (mut draft, names) = names::resolve(topology.statements(), true, &mut report);
    attributes::check(topology.statements(), &mut report);
    subnets::choose(&mut draft, &mut report);
    addresses::assign(&mut draft, &mut report);
    devices::name(&mut draft, &mut report);
    nat::resolve(&mut draft, &names, &mut report);
    routes::resolve(&mut draft, &names, &mut report);
    sysctls::resolve(&mut draft, &mut report);
    report.stop()?;
    Ok(produce::plan(topology, &draft))
}

/// Finds what can be found in a text with errors: names, and attributes one by one.
pub(crate) fn in_spite_of_errors(statements: &[Statement], complete: bool, report: &mut Report) {
    names::resolve(statements, complete, report);
    attributes::check(statements, report);
}
