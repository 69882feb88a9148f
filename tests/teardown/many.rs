//! Leaks that only show in numbers, kills that nobody chose the moment of, and a leak that has to be found.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use netlab::{Lab, NotInTime, eventually_blocking};
use netlab_runtime::sys::{fdpass, namespace};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::cell::{Column, becomes, compared, is_initial};
use crate::fixtures::TARGET;
use crate::snapshot::Snapshot;
use crate::subject::{self, Harness, Kind, SHARED, Subject, Underway, User, pidfd, run};

/// Something that is done in a cell of its own, beside the matrix.
type Body = fn(&Lab, Subject<'_>);

/// All of it.
pub const ROWS: &[(&str, Body)] = &[
    ("five_hundred_labs_in_a_row", in_a_row),
    ("fifty_labs_at_once", at_once),
    ("kills_at_random_moments_1", kills),
    ("kills_at_random_moments_2", kills),
    ("kills_at_random_moments_3", kills),
    ("kills_at_random_moments_4", kills),
    ("kills_at_random_moments_on_the_machine_1", kills),
    ("kills_at_random_moments_on_the_machine_2", kills),
    ("a_leak_is_found_and_named", leak),
];

/// The columns of a row: a leak has to be found in all, numbers are those of netlab's own runner.
pub fn columns(row: &str) -> impl Iterator<Item = Column> {
    let found = row == "a_leak_is_found_and_named";
    let kind = if row.contains("on_the_machine") { Kind::Privileged } else { Kind::Isolated };
    let who = if nix::unistd::geteuid().is_root() && is_initial() { User::Root } else { User::Ordinary };
    let columns = Column::all().filter(move |column| column.kind == kind);
    columns.filter(move |column| found || column.harness == Harness::Own && column.user == who)
}

/// In how many runs there are five hundred labs, of which each has fifty and one that waits.
const RUNS: usize = 10;
/// How many kills there are in a row.
const KILLS: usize = 50;

fn command(subject: Subject<'_>, arguments: &[&str]) -> Command {
    let mut command = subject.program(&subject.fixtures.own);
    command.args(arguments);
    command
}

fn in_a_row(lab: &Lab, subject: Subject<'_>) {
    /// Looks at a runner while the last of its tests waits.
    fn looked_at<T>(subject: Subject<'_>, filter: &str, look: impl FnOnce(Pid) -> Result<T, NotInTime>) -> T {
        let mut underway = Underway::start(command(subject, &[filter, "--test-threads=1"]));
        let seen = look(underway.runner());
        underway.go();
        let ran = underway.end();
        assert_eq!(ran.status.code(), Some(0), "{ran}");
        seen.unwrap_or_else(|late| panic!("{late:#}"))
    }
    compared(lab, || {
        let of_one = looked_at(subject, "many::waits", |runner| {
            // The runner lets go of what is the sandbox's alone only after the sandbox is on its way.
            let mut before = Descriptors::of(runner);
            eventually_blocking(SOON, || {
                let now = Descriptors::of(runner);
                let last = std::mem::replace(&mut before, now.clone());
                if last == now { Ok(now) } else { Err(format!("{last:?}, and then {now:?}")) }
            })
        });
        assert!((1..10).contains(&of_one.held), "{} namespaces of the test that waits", of_one.held);
        for _ in 0..RUNS {
            looked_at(subject, "many::", |runner| {
                eventually_blocking(SOON, || {
                    let after_fifty = Descriptors::of(runner);
                    let held = after_fifty.held;
                    assert!(
                        held >= of_one.held + 50,
                        "it was the fifty-first test, with {held} namespaces held"
                    );
                    assert_eq!(
                        after_fifty.others.len(),
                        of_one.others.len(),
                        "{after_fifty:?}, and at first {of_one:?}"
                    );
                    Ok::<_, netlab::Error>(())
                })
                .inspect(|()| {
                    assert_eq!(neighbours(runner).len(), 0, "finished labs know those that they pinged");
                })
            });
        }
    });
}

/// The neighbours, of IPv4, that are known in the networks a runner holds.
fn neighbours(runner: Pid) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{runner}/fd")).expect("it runs");
    let is_net = |fd: &PathBuf| fs::read_link(fd).is_ok_and(|on| on.to_string_lossy().starts_with("net:["));
    let nets = open.map(|fd| fd.expect("an entry").path()).filter(is_net);
    let known = |net: PathBuf| {
        let net = File::open(net).expect("the runner holds it");
        let table = namespace::on_thread("neighbours", || {
            namespace::enter_net(net.as_fd())?;
            fs::read_to_string("/proc/thread-self/net/arp")
        });
        let table = table.and_then(|read| read).expect("it may be looked at");
        // Of their first line, the names of columns.
        table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    nets.flat_map(known).collect()
}

/// How long the runner may take to let go of what it does not need.
const SOON: Duration = Duration::from_secs(10);

/// What a runner has open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Descriptors {
    /// How many networks of finished labs, which are held on purpose, and what else a sandbox had until it was looked for.
    held: usize,
    others: Vec<PathBuf>,
}

impl Descriptors {
    fn of(runner: Pid) -> Self {
        let open = fs::read_dir(format!("/proc/{runner}/fd")).expect("it runs");
        let on = open.filter_map(|fd| fs::read_link(fd.expect("an entry").path()).ok());
        let is_held = |on: &PathBuf| {
            ["net:[", "pid:[", "mnt:["].iter().any(|kind| on.to_string_lossy().starts_with(kind))
        };
        let (held, others): (Vec<_>, Vec<_>) = on.partition(is_held);
        Self { held: held.len(), others }
    }
}

fn at_once(lab: &Lab, subject: Subject<'_>) {
    compared(lab, || {
        let ran = run(command(subject, &["many::", "--skip", "waits", "--test-threads=50"]));
        assert_eq!(ran.status.code(), Some(0), "{ran}");
        assert!(ran.says("50 passed"), "{ran}");
    });
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Kills a run of four tests, or a part of it, again and again.
fn kills(lab: &Lab, subject: Subject<'_>) {
    #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
    let given = std::env::var("NETLAB_TEARDOWN_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = given.unwrap_or_else(|| now.map_or(1, |now| now.as_nanos() as u64 % 1_000_000_007));
    println!("NETLAB_TEARDOWN_SEED={seed} has the same kills again");
    let mut chance = Chance(seed);
    let before = Snapshot::take(lab);
    // Tests on the machine run one after the other, and iptables takes its time.
    let (kills, longest) = if subject.kind == Kind::Privileged { (KILLS / 2, 600) } else { (KILLS, 200) };
    for number in 0..kills {
        let tests = ["returns", "panics", "leaves_a_daemon", "leaves_a_child_elsewhere"];
        let tests = tests.map(|test| format!("outcomes::{}::{test}", subject.kind));
        let mut arguments: Vec<&str> = tests.iter().map(String::as_str).collect();
        arguments.extend(["--exact", "--test-threads=4"]);
        let mut child = command(subject, &arguments).spawn().expect("it is there");
        let runner = Pid::from_raw(child.id().cast_signed());
        let ended = pidfd(runner);
        let moment = u16::try_from(chance.below(longest)).expect("a small number");
        poll(&mut [PollFd::new(ended.as_fd(), PollFlags::POLLIN)], PollTimeout::from(moment))
            .expect("no interruption");
        kill_some(&mut chance, runner);
        // One that was not the runner leaves the others to go on.
        child.wait().expect("it is our child");
        subject::others_end();
        if number % 5 == 4 {
            if subject.kind == Kind::Privileged {
                // What the last of them left, the next run mends; the others were mended by the one after.
                let next = run(subject.command("does_nothing"));
                assert_eq!(next.status.code(), Some(0), "{next}");
            }
            becomes(lab, &before);
        }
    }
}

/// Kills the runner, its group, or a process of one of its sandboxes. That it ended meanwhile is as well.
fn kill_some(chance: &mut Chance, runner: Pid) {
    let inside = subject::of_sandboxes();
    let killed = match (chance.below(4), inside.len() as u64) {
        (0, _) => kill(runner, Signal::SIGKILL),
        (1, _) => killpg(runner, Signal::SIGKILL),
        (_, 0) => Ok(()),
        (_, some) => kill(inside[chance.below(some) as usize], Signal::SIGKILL),
    };
    assert!(matches!(killed, Ok(()) | Err(nix::errno::Errno::ESRCH)), "{killed:?}");
}

/// The variable that makes this binary a process that takes a descriptor and keeps it.
const HOLDER: &str = "NETLAB_TEARDOWN_HOLDER";

/// Whether this process is that one.
pub fn is_holder() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
    std::env::var_os(HOLDER).is_some()
}

/// Takes a descriptor from whoever connects; keeps it until its standard input ends.
pub fn hold() -> ExitCode {
    let listener = UnixListener::bind(Path::new(SHARED).join("leak")).expect("the cell's folder is there");
    File::options()
        .write(true)
        .open(Path::new(SHARED).join("ready"))
        .and_then(|mut ready| ready.write_all(b"x"))
        .expect("the cell waits");
    let (mut stream, _) = listener.accept().expect("somebody comes");
    poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).expect("no interruption");
    let (_, held): (usize, Vec<OwnedFd>) =
        fdpass::receive(stream.as_fd(), &mut [0; 8]).expect("a descriptor comes");
    stream.write_all(b"x").expect("somebody waits");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("it is a pipe");
    drop(held);
    ExitCode::SUCCESS
}

/// A test hands its node's network to a process outside: the run fails, and says so. Once that process lets go, nothing is left.
fn leak(lab: &Lab, subject: Subject<'_>) {
    let before = Snapshot::take(lab);
    let own = std::env::current_exe().expect("/proc is mounted");
    let own =
        Path::new(TARGET).join(own.strip_prefix(&subject.fixtures.target).expect("cargo has built this"));
    let mut holder = subject.program(&own);
    holder.env(HOLDER, "1").stdin(Stdio::piped());
    let mut holder = subject::start_and_wait(holder);
    let ran = run(subject.command("leaks"));
    assert_ne!(ran.status.code(), Some(0), "{ran}");
    assert!(ran.says("the network of node `a` (net:["), "{ran}");
    assert!(ran.says(&format!("is kept by process {} (`teardown", holder.id())), "{ran}");
    assert!(ran.says("leaks"), "the test is named: {ran}");

    // The positive control: as long as it is kept, the machine is not as it was.
    assert!(before.differences(&Snapshot::take(lab)).contains("+ namespace net:["));
    drop(holder.stdin.take());
    assert!(holder.wait().expect("it is our child").success());
    fs::remove_file(Path::new(SHARED).join("leak")).expect("it was made there");
    becomes(lab, &before);
}
