//! Every mistake a user can make has a file in `tests/ui` that shows what the compiler says to it. To write
//! the answers anew: `TRYBUILD=overwrite cargo test --test ui`, then read each.

/// None of them is to be built and run, so that one call of cargo checks them all; `tests/without_harness.rs` is what compiles.
#[test]
fn mistakes() {
    let cases = trybuild::TestCases::new();
    for subject in ["arguments", "attributes", "function", "machine", "parameters", "topology", "types"] {
        cases.compile_fail(format!("tests/ui/{subject}/*.rs"));
    }
}
