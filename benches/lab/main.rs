//! What it costs to build a lab, inside one process: against the floor (the same netlink messages, batched by hand)
//! and against the shell script that people write, side by side in one run.
//!
//! Everything happens in a sandbox, so that the machine's own network is not touched; `cargo bench --bench lab` needs
//! no privileges. What was built is kept while others are timed, since the kernel's destruction of bridges slows whoever
//! builds meanwhile. Criterion keeps the history; the table at the end has the medians of every single build.

use std::any::Any;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use netlab::Plan;
use netlab::prelude::*;
use nix::mount::{MsFlags, mount};

mod floor;
#[path = "../common/table.rs"]
mod table;

use table::Table;

const SCENARIO_A: &str = include_str!("../../tests/topologies/two_servers.topo");

/// Moves the calling thread into a network namespace of its own, which plays the lab's host.
fn enter_a_fresh_host() {
    #[expect(clippy::disallowed_methods, reason = "called on threads that end in the namespace they make")]
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace");
}

/// Runs `work` on a thread that nothing else uses, with a `/proc` of its own as every sandbox has it: the kernel keeps
/// the sysctl directories of all namespaces that were seen through one mount in one list.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of its own, which ends in the namespace it makes"
        )]
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none).expect("mounts of its own");
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).expect("a /proc of its own");
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join().expect("the work does not panic"))
}

/// What was built, until nothing is timed any more.
#[derive(Default)]
struct Kept {
    labs: Vec<Box<dyn Any>>,
    namespaces: usize,
}

impl Kept {
    /// A namespace takes two descriptors, and some 325 KiB of the kernel's memory.
    const MOST: usize = 6000;

    fn keep(&mut self, lab: impl Any, namespaces: usize) {
        self.labs.push(Box::new(lab));
        self.namespaces += namespaces;
        if self.namespaces > Self::MOST {
            *self = Self::default();
        }
    }
}

/// Builds once, on a thread of its own.
fn once<T: Send + 'static>(
    (kept, namespaces): (&mut Kept, usize),
    build: impl FnOnce() -> T + Send,
) -> Duration {
    let (lab, took) = on_a_thread(|| {
        let start = Instant::now();
        let lab = build();
        (lab, start.elapsed())
    });
    kept.keep(lab, namespaces);
    took
}

fn plan(text: &str) -> Plan {
    Topology::parse(text, "benchmark")
        .and_then(|topology| topology.plan())
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// Builds a lab whose host is a fresh namespace, made here as the floor makes its own.
fn build(plan: &Plan) -> Lab {
    enter_a_fresh_host();
    Lab::build(plan.clone()).unwrap_or_else(|error| panic!("{:?}", netlab::Error::from(error)))
}

/// The floor and netlab in turn, so that both meet the same machine: `pairs` times for the table, then each by itself
/// for Criterion.
fn side_by_side<T: Send + 'static>(
    criterion: &mut Criterion,
    table: &mut Table,
    (group, pairs): (&str, usize),
    namespaces: usize,
    floor: impl Fn() -> T + Sync,
    plan: &Plan,
) {
    let mut kept = Kept::default();
    for _ in 0..pairs {
        table.note(&format!("{group}, floor"), once((&mut kept, namespaces), &floor));
        table.note(&format!("{group}, netlab"), once((&mut kept, namespaces), || build(plan)));
    }
    let mut criterion = criterion.benchmark_group(group);
    criterion.sample_size(10);
    criterion.bench_function("floor", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| once((&mut kept, namespaces), &floor)).sum());
    });
    criterion.bench_function("netlab", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| once((&mut kept, namespaces), || build(plan))).sum());
    });
    criterion.finish();
}

/// (1) The lab of scenario A.
fn scenario_a(criterion: &mut Criterion, table: &mut Table) {
    let floor = || floor::build().expect("the floor builds");
    side_by_side(criterion, table, ("scenario A", 100), 4, floor, &plan(SCENARIO_A));
    if by_hand("true").is_err() {
        println!("scenario A, script by hand: left out, since `ip` or `iptables`/`nft` is not installed");
        return;
    }
    let mut group = criterion.benchmark_group("scenario A");
    group.sample_size(10);
    group
        .bench_function("script by hand", |bencher| bencher.iter_custom(|count| timed_by_hand(count, table)));
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
fn timed_by_hand(count: u64, table: &mut Table) -> Duration {
    let one = || {
        enter_a_fresh_host();
        let start = Instant::now();
        by_hand("up").expect("the script builds");
        let took = start.elapsed();
        by_hand("down").expect("the script removes what it built");
        took
    };
    let times: Vec<_> = (0..count).map(|_| on_a_thread(one)).collect();
    times.iter().for_each(|&took| table.note("scenario A, script by hand", took));
    times.iter().sum()
}

/// (3) Nodes on one net, the host not among them.
fn stars(criterion: &mut Criterion, table: &mut Table) {
    for (nodes, pairs) in [(10, 60), (100, 20), (500, 10)] {
        let plan = plan(&format!("net lan 198.18.0.0/16; node n[{nodes}] lan"));
        let floor = || floor::star(nodes).expect("the floor builds");
        side_by_side(criterion, table, (&format!("star of {nodes}"), pairs), nodes, floor, &plan);
    }
}

/// (5) From the end of the build until the first datagram has crossed between two fresh nodes.
fn first_datagram(criterion: &mut Criterion, table: &mut Table) {
    let plan = plan("net lan 198.51.100.0/24; node a lan; node b lan");
    let mut kept = Kept::default();
    criterion.bench_function("first datagram", |bencher| {
        bencher.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let (lab, took) = on_a_thread(|| {
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
                kept.keep(lab, 3);
                table.note("first datagram", took);
                total += took;
            }
            total
        });
    });
}

#[netlab::test(timeout = "900s")]
fn labs() -> netlab::Result {
    // Where `ip netns` keeps its names, private to the sandbox.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2));
    let mut table = Table::default();
    scenario_a(&mut criterion, &mut table);
    stars(&mut criterion, &mut table);
    first_datagram(&mut criterion, &mut table);
    criterion.final_summary();
    println!("\n{table}");
    Ok(())
}

fn main() -> ExitCode {
    // Shown live: what a benchmark prints is its result.
    netlab::__private::main(true)
}
