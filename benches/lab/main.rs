//! What it costs to build a lab, inside one process: against the floor (the same netlink messages, batched by hand)
//! and against the shell script that people write, side by side in one run.
//!
//! Everything happens in a sandbox, so that the machine's own network is not touched; `cargo bench --bench lab` needs
//! no privileges. Labs are kept while others are timed and let go together, since the kernel's destruction of bridges
//! slows whoever builds meanwhile.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion};
use netlab::prelude::*;

mod floor;

const SCENARIO_A: &str = include_str!("../../tests/topologies/two_servers.topo");

/// Runs `work` on a thread that starts in a network namespace of its own, which plays the lab's host.
fn in_a_fresh_host<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, which ends in the namespace it makes")]
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace");
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join().expect("the work does not panic"))
}

/// Times `build` on fresh hosts, `count` times; what it built is kept until the end.
fn timed<T: Send>(count: u64, mut build: impl FnMut() -> T + Send) -> Duration {
    let mut kept = Vec::new();
    let mut total = Duration::ZERO;
    for _ in 0..count {
        let (lab, took) = thread::scope(|scope| {
            let work = || {
                let start = Instant::now();
                let lab = build();
                (lab, start.elapsed())
            };
            scope.spawn(work).join().expect("the build does not panic")
        });
        kept.push(lab);
        total += took;
    }
    total
}

/// The plan of scenario A, or of a star of nodes on one net.
fn plan(text: &str) -> Plan {
    text.parse::<Topology>().and_then(|topology| topology.plan()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn build(plan: &Plan) -> Lab {
    Lab::build(plan.clone()).unwrap_or_else(|error| panic!("{error}"))
}

/// (1) The lab of scenario A.
fn scenario_a(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build scenario A");
    group.sample_size(20);
    let plan = plan(SCENARIO_A);
    group.bench_function("netlab", |bencher| {
        bencher.iter_custom(|count| timed(count, || build(&plan)));
    });
    group.bench_function("floor", |bencher| {
        bencher.iter_custom(|count| timed(count, || floor::build().expect("the floor builds")));
    });
    if by_hand("true").is_err() {
        println!("build scenario A/script: left out, since `ip` or `iptables`/`nft` is not installed");
    } else {
        group.sample_size(10);
        group.bench_function("script", |bencher| bencher.iter_custom(timed_by_hand));
    }
    group.finish();
}

/// Runs a part of the script on the calling thread's network namespace.
fn by_hand(what: &str) -> std::io::Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/by_hand.sh");
    let output = Command::new(script).arg(what).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Times the script, taking down what it built outside the measured time: its namespaces have names, so no two can be.
fn timed_by_hand(count: u64) -> Duration {
    let one = || {
        let start = Instant::now();
        by_hand("up").expect("the script builds");
        let took = start.elapsed();
        by_hand("down").expect("the script removes what it built");
        took
    };
    (0..count).map(|_| in_a_fresh_host(one)).sum()
}

/// (3) Nodes on one net, the host not among them.
fn star(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build star");
    group.sample_size(10);
    for nodes in [10, 100, 500] {
        let plan = plan(&format!("net lan 198.18.0.0/16; node n[{nodes}] lan"));
        group.bench_function(BenchmarkId::new("netlab", nodes), |bencher| {
            bencher.iter_custom(|count| timed(count, || build(&plan)));
        });
        group.bench_function(BenchmarkId::new("floor", nodes), |bencher| {
            bencher.iter_custom(|count| timed(count, || floor::star(nodes).expect("the floor builds")));
        });
    }
    group.finish();
}

/// (5) From the end of the build to the first datagram having crossed between two fresh nodes.
fn first_datagram(criterion: &mut Criterion) {
    let plan = plan("net lan 198.51.100.0/24; node a lan; node b lan");
    let mut all = Vec::new();
    criterion.bench_function("first datagram between fresh nodes", |bencher| {
        bencher.iter_custom(|count| {
            let mut kept = Vec::new();
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let (lab, took) = in_a_fresh_host(|| {
                    let lab = build(&plan);
                    let (a, b) = (lab.node("a").expect("a"), lab.node("b").expect("b"));
                    let to = (b.addr(), 7);
                    let receiver = b.enter(|| std::net::UdpSocket::bind(to)).expect("a socket in b");
                    let sender = a.enter(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a socket in a");
                    receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
                    let start = Instant::now();
                    sender.send_to(b"first", to).expect("it leaves");
                    receiver.recv(&mut [0; 8]).expect("it arrives");
                    (lab, start.elapsed())
                });
                kept.push(lab);
                all.push(took);
                total += took;
            }
            total
        });
    });
    all.sort_unstable();
    let at = |percent: usize| all[(all.len() - 1) * percent / 100];
    println!(
        "first datagram: {} labs, median {:.1?}, 99th percentile {:.1?}, longest {:.1?}",
        all.len(),
        at(50),
        at(99),
        at(100)
    );
}

#[netlab::test(timeout = "900s")]
fn labs() -> netlab::Result {
    // Where `ip netns` keeps its names, private to the sandbox.
    nix::mount::mount(Some("tmpfs"), "/run", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)?;
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    scenario_a(&mut criterion);
    star(&mut criterion);
    first_datagram(&mut criterion);
    criterion.final_summary();
    Ok(())
}

fn main() -> ExitCode {
    // Shown live: what a benchmark prints is its result.
    netlab::__private::main(true)
}
