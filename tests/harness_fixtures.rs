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
