//! The crates in `tests/fixtures`, built and run by cargo as their owners would, and what comes out.

use std::process::{Command, Output};

/// Runs `cargo test` on a fixture, with `args` for its harness.
fn cargo_test(package: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--offline", "--lib", "--package", package, "--"])
        .args(args)
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, it runs this test")
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_test_module_inside_a_library() {
    let output = cargo_test("netlab-in-a-library", &["--test-threads=1", "--format=pretty"]);
    let text = text(&output);
    for line in [
        "running 4 tests",
        "test tests::beside_it ... ok",
        "test tests::fails ... FAILED",
        "test tests::greets ... ok",
        "test tests::ignored ... ignored, for the day it is not",
        "test result: FAILED. 2 passed; 1 failed; 1 ignored",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    assert!(text.contains("hello, client"), "what a failed test said is shown:\n{text}");
    assert!(text.contains("on purpose"), "the error of a failed test is shown:\n{text}");
    assert_eq!(output.status.code(), Some(101), "{text}");
}

#[test]
fn a_test_module_inside_a_library_is_listed() {
    let output = cargo_test("netlab-in-a-library", &["--list", "--format=terse"]);
    let names = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<_> = names.lines().collect();
    names.sort_unstable();
    let expected =
        ["tests::beside_it: test", "tests::fails: test", "tests::greets: test", "tests::ignored: test"];
    assert_eq!(names, expected, "{}", text(&output));
}

/// What comes of the tests that need what no machine has, with these variables set.
fn lacking(harness: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--offline", "--package", "netlab-outcomes", "--test", harness, "--"])
        .args(["lacking::", "--format=pretty"])
        .env("CARGO_TERM_COLOR", "never")
        .env("NETLAB_STRICT", "0")
        .envs(variables.iter().copied())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, it runs this test");
    text(&output)
}

#[test]
fn what_the_machine_lacks_ignores_a_test_with_the_reason() {
    const WHY: &str = "`netlab-no-such-program`: no such program on the PATH; install the package that has";
    let text = lacking("own", &[]);
    assert!(text.contains("1 passed; 0 failed; 3 ignored"), "{text}");
    assert!(
        text.contains("netlab: 3 ignored: 2 cannot run here (`netlab-no-such-program`: no such"),
        "{text}"
    );
    assert!(text.contains("`warp drive`: no such device; wait for the 24th century"), "{text}");

    let strict = ("NETLAB_STRICT", "1");
    let text = lacking("own", &[strict, ("NETLAB_WITHOUT", "netlab-no-such-program")]);
    assert!(text.contains("1 passed; 1 failed; 2 ignored"), "{text}");
    assert!(text.contains("cannot run here, and must (NETLAB_STRICT or CI is set): `warp drive`"), "{text}");

    // The standard harness cannot ignore a test that has begun.
    let text = lacking("standard", &[]);
    assert!(text.contains("1 passed; 3 failed") && text.contains(WHY), "{text}");
}
