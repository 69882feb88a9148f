//! What holds for any text. Shared with the fuzz target.

use netlab_topology::{Diagnostics, Topology};

/// Errors are within the text and can be shown; what is read can be printed and read again; planning ends.
pub fn holds_for(text: &str) {
    match Topology::parse(text, "topology of `any`") {
        Err(errors) => check_errors(text, &errors),
        Ok(topology) => {
            let printed = topology.to_string();
            match Topology::parse(&printed, "the same again") {
                Ok(again) => assert_eq!(again, topology, "{text:?} printed as {printed:?}"),
                Err(errors) => panic!("{text:?} printed as {printed:?}: {errors}"),
            }
            match topology.plan() {
                Err(errors) => check_errors(text, &errors),
                Ok(plan) => {
                    for step in plan.steps() {
                        assert!(!step.op.to_string().contains('\n'), "{text:?}: {}", step.op);
                    }
                    assert!(plan.draw(100).len() + plan.draw(0).len() + plan.hosts().len() < 100_000_000);
                }
            }
        }
    }
}

fn check_errors(text: &str, errors: &Diagnostics) {
    assert!(errors.iter().len() > 0, "{text:?} failed without an error");
    for error in errors {
        let span = error.span();
        assert!(text.get(span.range()).is_some(), "{text:?}: {span:?} of {error:?}");
        assert!(error.line() >= 1 && error.column() >= 1);
        assert!(error.to_string().lines().count() >= 4, "{error}");
    }
}
