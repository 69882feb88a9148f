//! What a whole test costs as a process, and a suite of a hundred of them.
//!
//! This binary is its own subject: with `NETLAB_BENCH_SUITE` set it is a test binary under netlab's runner, else it is the
//! benchmark, which starts itself that way. The empty test process it compares with is a libtest-mimic binary with one empty
//! test: the same program under `NETLAB_BENCH_EMPTY`.

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use criterion::Criterion;
use libtest_mimic::{Arguments, Trial};
use netlab::prelude::*;

const SUITE: &str = "NETLAB_BENCH_SUITE";
const EMPTY: &str = "NETLAB_BENCH_EMPTY";

/// Scenario A's lab, and one ping through all of it.
#[netlab::test(topology = "tests/topologies/two_servers.topo")]
fn whole(ns1: Node) -> netlab::Result {
    ns1.ping("8.8.8.8").blocking()?;
    Ok(())
}

/// A hundred small tests: two nodes on a switch, one ping.
macro_rules! small {
    ($($module:ident),*) => {
        $(mod $module { small!(@tests t0, t1, t2, t3, t4, t5, t6, t7, t8, t9); })*
    };
    (@tests $($test:ident),*) => {
        use netlab::prelude::*;
        $(
            #[netlab::test(topology = "net lan; node a lan; node b lan")]
            fn $test(a: Node, b: Node) -> netlab::Result {
                a.ping(b.addr()).blocking()?;
                Ok(())
            }
        )*
    };
}

mod small {
    small!(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9);
}

/// Runs this binary as a test binary and checks that its tests pass.
fn run(variable: &str, arguments: &[&str], environment: &[(&str, &str)]) {
    let mut command = Command::new(env::current_exe().expect("this program's path"));
    command.env(variable, "1").args(arguments).envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("this program starts");
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
}

fn benchmarks() {
    let mut criterion = Criterion::default()
        .without_plots()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));

    // (2)
    let mut group = criterion.benchmark_group("process");
    group.sample_size(40);
    group.bench_function("empty test", |bencher| bencher.iter(|| run(EMPTY, &[], &[])));
    group.bench_function("scenario A", |bencher| bencher.iter(|| run(SUITE, &["--exact", "whole"], &[])));
    group.finish();

    // (4)
    let mut group = criterion.benchmark_group("100 small tests");
    for (threads, name) in [("1", "one thread"), (&num_threads(), "all threads")] {
        let arguments = ["small::", "--test-threads", threads];
        group.bench_function(name, |bencher| bencher.iter(|| run(SUITE, &arguments, &[])));
        group.bench_function(format!("{name}, labs destroyed at once"), |bencher| {
            bencher.iter(|| run(SUITE, &arguments, &[("NETLAB_RETIRE", "0")]));
        });
    }
    group.finish();
    criterion.final_summary();
}

fn num_threads() -> String {
    std::thread::available_parallelism().map_or(1, usize::from).to_string()
}

fn main() -> ExitCode {
    if is_set(SUITE) {
        return netlab::__private::main(false);
    }
    if is_set(EMPTY) {
        return libtest_mimic::run(&Arguments::from_args(), vec![Trial::test("empty", || Ok(()))])
            .exit_code();
    }
    benchmarks();
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "which of three programs this one is")]
fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some()
}
