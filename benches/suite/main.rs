//! What a whole test costs as a process, and a suite of a hundred of them.
//!
//! This binary is its own subject: with `NETLAB_BENCH_SUITE` set it is a test binary under netlab's runner, else it is the
//! benchmark, which starts itself that way. The empty test process it compares with is a libtest-mimic binary with one empty
//! test: the same program under `NETLAB_BENCH_EMPTY`.

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;
use libtest_mimic::{Arguments, Trial};
use netlab::prelude::*;

#[path = "../common/table.rs"]
mod table;

use table::Table;

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

/// Times one run.
fn timed(variable: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Duration {
    let start = Instant::now();
    run(variable, arguments, environment);
    start.elapsed()
}

/// Waits until the kernel has destroyed what the last run left it, which slows whoever builds meanwhile.
fn settle() {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut idle = 0;
    // Between two batches it looks idle for a moment.
    while idle < 100 && Instant::now() < deadline {
        idle = if namespaces_are_destroyed_now() { 0 } else { idle + 1 };
    }
}

/// Whether a worker of the kernel is at work on the queue `netns` (`cleanup_net` in net/core/net_namespace.c): its name then
/// ends in `+netns` (`wq_worker_comm`).
fn namespaces_are_destroyed_now() -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted");
    let names =
        processes.filter_map(|process| std::fs::read_to_string(process.ok()?.path().join("comm")).ok());
    names.into_iter().any(|name| name.trim_end().ends_with("+netns"))
}

const ONE: &[&str] = &["--exact", "whole"];

fn benchmarks() {
    let mut criterion = Criterion::default()
        .without_plots()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3));
    let mut table = Table::default();

    // (2)
    for _ in 0..40 {
        settle();
        table.note("one test as a process, empty", timed(EMPTY, &[], &[]));
        table.note("one test as a process, scenario A", timed(SUITE, ONE, &[]));
    }
    criterion.bench_function("process, empty", |bencher| bencher.iter(|| run(EMPTY, &[], &[])));
    criterion.bench_function("process, scenario A", |bencher| bencher.iter(|| run(SUITE, ONE, &[])));

    // (4)
    for (threads, name) in [("1", "one thread"), (&num_threads(), "all threads")] {
        let arguments = ["small::", "--test-threads", threads];
        let at_once = [("NETLAB_RETIRE", "0")];
        for _ in 0..8 {
            settle();
            table.note(&format!("100 small tests on {name}, labs kept"), timed(SUITE, &arguments, &[]));
            settle();
            let row = format!("100 small tests on {name}, labs destroyed at once");
            table.note(&row, timed(SUITE, &arguments, &at_once));
        }
        criterion.bench_function(&format!("100 small tests, {name}"), |bencher| {
            bencher.iter_custom(|count| {
                let one = || {
                    settle();
                    timed(SUITE, &arguments, &[])
                };
                std::iter::repeat_with(one).take(count as usize).sum()
            });
        });
    }
    criterion.final_summary();
    println!("\n{table}");
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
