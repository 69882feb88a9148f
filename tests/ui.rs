//! Every mistake a user can make has a file in `tests/ui` that shows what the compiler says to it. To write
//! the answers anew: `TRYBUILD=overwrite cargo test --test ui`, then read each.

#[test]
fn mistakes() {
    let cases = trybuild::TestCases::new();
    for subject in ["arguments", "attributes", "function", "machine", "parameters", "topology", "types"] {
        cases.compile_fail(format!("tests/ui/{subject}/*.rs"));
    }
    cases.pass("tests/ui/pass/*.rs");
}
