//! A machine to change: a copy of this process in namespaces of its own, whose network plays the machine.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::ground::Ground;
use super::super::worker::Machine;
use super::super::{Left, Session, Turn};
use super::super::{nic, restore};
use crate::settings;
use netlab_topology::plan::{Op, Step};
use netlab_topology::{Plan, Topology};

/// Says to the copy that it is one.
const VARIABLE: &str = "NETLAB_SCRATCH_MACHINE";

/// Says that a test cannot run here. The standard harness cannot ignore it by then; where everything has to run it fails.
pub(super) fn not_tried(why: &str) {
    let strict = settings::get().expect("the settings can be understood").strict;
    assert!(!strict, "cannot run here, and must (NETLAB_STRICT or CI is set): {why}");
    eprintln!("not tried: {why}");
}

/// Runs `work` in a scratch machine: this test again, by its path, in a copy of this process. `/run` is empty there.
pub(in crate::machine) fn scratch(test: &str, work: fn()) {
    if settings::variable(VARIABLE).as_deref() == Some(test) {
        work();
        return;
    }
    for program in ["unshare", "ip", "mount"] {
        if !has(program) {
            return not_tried(&format!("the program `{program}` is not here"));
        }
    }
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let possible = Command::new("unshare").args(user).args(spaces).arg("true").stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        return not_tried("namespaces cannot be made here");
    }
    let binary = std::env::current_exe().unwrap();
    let begin = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && exec \"$@\"";
    let output = Command::new("unshare")
        .args(user)
        .args(spaces)
        .args(["sh", "-ec", begin, "sh"])
        .arg(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .env("PATH", format!("/run/bin:{}:/usr/sbin", settings::variable("PATH").unwrap_or_default()))
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "in the scratch machine:\n{said}");
    assert!(said.contains("1 passed"), "`{test}` is not the path of that test:\n{said}");
}

pub(super) fn has(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Runs a script of the shell, and gives what it wrote.
#[track_caller]
pub(super) fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-euc", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `eth1`, a wire to a namespace `far`.
pub(super) fn eth1() {
    sh("ip netns add far
        echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
        ip link add eth1 address 02:00:00:00:01:01 type veth peer name far netns far
        ip -n far link set far up");
    // Duplicates take seconds to look for; where that is what is tried, it is turned on.
}

/// Waits until `eth1`, if it is there and up, is so in operation, and no address is tentative any more.
fn settle() {
    let deadline = Instant::now() + Duration::from_secs(10);
    while sh("ip link show eth1 2>&1 || :").contains("NO-CARRIER") {
        assert!(Instant::now() < deadline, "the wire does not come up");
    }
    let mut ground = Ground::here().unwrap();
    for link in nic::links(&mut ground.socket).unwrap() {
        restore::settle(&mut ground.socket, link.index).unwrap();
    }
}

/// All that `ip` tells of the machine's network once it rests, without what counts or passes.
pub(super) fn told() -> String {
    settle();
    let told = sh(
        "ip -d addr; for family in -4 -6; do ip $family -d route show table all; done; ip neigh show nud permanent",
    );
    let mut lines: Vec<String> = Vec::new();
    for line in told.lines() {
        // One that was never up has no queue yet, and never again.
        let line = line.replace("qdisc noop ", "qdisc noqueue ");
        let mut words: Vec<&str> = Vec::new();
        let mut skip = false;
        for word in line.split_whitespace() {
            // Seconds, which pass, and timers of bridges.
            let is_time = word.ends_with("sec") && word.starts_with(|c: char| c.is_ascii_digit());
            if !skip && !is_time {
                words.push(word);
            }
            skip = word.ends_with("_timer");
        }
        lines.push(words.join(" "));
    }
    lines.join("\n")
}

/// The sysctls of an interface.
pub(super) fn sysctls(name: &str) -> String {
    let mut values = Vec::new();
    for folder in ["ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"] {
        let Ok(entries) = fs::read_dir(format!("/proc/sys/net/{folder}/{name}")) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if let Ok(value) = fs::read_to_string(&path) {
                values.push(format!("{}={}", path.display(), value.trim()));
            }
        }
    }
    values.sort();
    values.join("\n")
}

/// A session with the worker's side of it, in one process.
pub(super) struct Both {
    pub(super) session: Session,
    pub(super) machine: Machine,
}

impl Both {
    pub(super) fn begin() -> Self {
        let session =
            Session::begin("the test", Turn::wait(true, |holder| panic!("{holder} has the lock")).unwrap())
                .unwrap();
        let [net, journal] = session.descriptors().unwrap();
        let machine = Machine::open(net, journal).unwrap();
        Self { session, machine }
    }

    /// The plan of a topology as it can be on the machine.
    pub(super) fn bind(&mut self, topology: &str) -> Result<Plan, String> {
        let plan = Topology::parse(topology, "a test").unwrap().plan().unwrap();
        let there = self.machine.look().unwrap();
        self.machine.bind(&plan, &there).map_err(|error| error.to_string())
    }

    /// Writes steps down.
    #[track_caller]
    pub(super) fn record(&mut self, steps: &[&Step]) {
        self.machine.record(steps).unwrap();
    }

    /// Takes an interface as the plan has it, into a namespace that is kept for it, and gives that namespace.
    #[track_caller]
    pub(super) fn take(&mut self, plan: &Plan) -> std::os::fd::OwnedFd {
        use crate::sys::namespace;
        use std::os::fd::AsFd;
        let step = plan.steps().iter().find(|step| matches!(step.op, Op::TakeNic { .. })).unwrap();
        let Op::TakeNic { nic, to_name, dev, .. } = &step.op else { unreachable!() };
        let there = namespace::on_thread("there", || {
            namespace::unshare_net().unwrap();
            namespace::current_net().unwrap()
        })
        .unwrap();
        self.session.pin(to_name, there.try_clone().unwrap()).unwrap();
        self.record(&[step]);
        self.machine.take_nic(nic, there.as_fd(), dev).unwrap();
        there
    }

    #[track_caller]
    pub(super) fn end(self) -> Vec<Left> {
        drop(self.machine);
        self.session.end()
    }
}
