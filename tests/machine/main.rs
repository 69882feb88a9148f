//! Labs on the machine's own network, in machines made for the purpose.
//!
//! Each test is an isolated lab whose host plays the machine: it has interfaces, addresses, routes, and a firewall as Docker
//! and ufw set it. The test runs the fixture `netlab-privileged` there, as a user would run theirs, looks at the lab from
//! outside, and compares the machine before and after. No interface of the real machine is touched, whoever runs this.

mod founding;
mod isolated;
mod kills;
mod nested;
mod refusals;
#[path = "../scenarios/rows.rs"]
#[expect(dead_code, reason = "those that need `iptables` are here, and some on the machine itself")]
mod rows;
mod scratch;
mod together;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Trial};

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
    let is_worker = std::env::var_os("NETLAB_WORKER").is_some();
    if !is_worker {
        if let Some(missing) = scratch::missing_program() {
            return ignore_all(&format!("needs `{missing}`: install the Debian package `iptables`"));
        }
        if !std::env::args().any(|argument| argument == "--list") {
            build_fixture();
        }
    }
    netlab::__private::main(false)
}

/// Reports every test as ignored, with the reason.
fn ignore_all(reason: &str) -> ExitCode {
    let arguments = Arguments::from_args();
    let ignored = |name: &'static str| {
        let reason = reason.to_owned();
        Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)))
    };
    let trials = netlab::__private::TESTS.iter().map(|test| ignored(test.name())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Cargo builds no binary of another package for a test.
fn build_fixture() {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--package", "netlab-privileged"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo runs, it runs this test").success(), "the fixture could not be built");
}
