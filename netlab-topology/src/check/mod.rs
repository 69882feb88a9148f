//! Topology to plan: collect errors, stop, produce.
//!
//! Every stage goes on after errors, so that all of a topology come at once; what an error makes unknowable
//! (`broken`) is left out of later stages. After the stop nothing can fail.

mod address;
mod addresses;
mod attributes;
mod devices;
mod draft;
mod machine;
mod names;
mod nat;
mod produce;
mod routes;
mod rules;
mod steps;
mod subnets;
mod sysctls;

use crate::diagnostic::{Diagnostics, Report};
use crate::model::Statement;
use crate::plan::Plan;
use crate::syntax::Parse;
use crate::topology::Topology;
use draft::Draft;
use names::Names;

/// Checks a topology and resolves it.
pub(crate) fn plan(topology: &Topology) -> Result<Plan, Diagnostics> {
    let mut report = topology.report();
    let statements = topology.statements();
    let (mut draft, names) = names::resolve(statements, &[], true, &mut report);
    resolve(statements, &[], &mut draft, &names, &mut report);
    report.stop()?;
    Ok(produce::plan(topology, &draft))
}

/// Finds what can be found in a text with errors. Faulty statements are `broken`; where the errors may hide a
/// whole declaration, only names and attributes are looked at.
pub(crate) fn in_spite_of_errors(parse: &Parse, report: &mut Report) {
    let Parse { statements, faulty, complete } = parse;
    let (mut draft, names) = names::resolve(statements, faulty, *complete, report);
    if *complete {
        resolve(statements, faulty, &mut draft, &names, report);
    } else {
        attributes::check(statements, faulty, report);
    }
}

fn resolve<'t>(
    statements: &'t [Statement],
    faulty: &[bool],
    draft: &mut Draft<'t>,
    names: &Names,
    report: &mut Report,
) {
    attributes::check(statements, faulty, report);
    machine::check(draft, report);
    subnets::choose(draft, report);
    addresses::assign(draft, report);
    devices::name(draft, report);
    nat::resolve(draft, names, report);
    routes::resolve(draft, names, report);
    sysctls::resolve(draft, report);
}
