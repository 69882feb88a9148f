//! `cargo netlab gc` as a black box, in a scratch machine: namespaces in which a network, `/run` and processes are this test's own.
//!
//! This binary is all sides. Run by cargo it is the rows; a row runs it again in a scratch machine, with [`ROLE`] set to the
//! row's name, and that again as a run that dies.

#![expect(clippy::disallowed_methods, reason = "what is read here is no setting of netlab's")]

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netlab::cli::machine::{Session, Turn};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_cargo-netlab");
/// What this binary is: a row to run in the scratch machine, or the run that dies.
const ROLE: &str = "NETLAB_TESTS_GC";
const DIES: &str = "dies";
const STAYS: &str = "stays";

const ROWS: [(&str, fn()); 6] = [
    ("nothing_is_no_error", nothing),
    ("what_a_dead_run_left_is_undone", undone),
    ("what_somebody_else_changed_is_left", changed),
    ("a_machine_in_use_is_not_swept", in_use),
    ("a_damaged_journal_is_told", damaged),
    ("a_lab_on_the_machine_is_listed_and_what_it_left_undone", killed),
];

fn main() -> ExitCode {
    match env::var(ROLE).as_deref() {
        Ok(DIES) => die(),
        Ok(STAYS) => netlab::__private::main(false),
        Ok(row) => {
            let (_, inside) = ROWS.iter().find(|(name, _)| *name == row).expect("a row of this name");
            inside();
            ExitCode::SUCCESS
        }
        Err(_) => {
            let trials =
                ROWS.map(|(name, _)| Trial::ignorable_test(name, move || in_a_scratch_machine(name)));
            libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
        }
    }
}

fn in_a_scratch_machine(row: &str) -> Result<Completion, Failed> {
    if Command::new("ip").arg("-Version").output().is_err() {
        return Ok(Completion::ignored_with("takes `ip`, which is not installed (Debian: iproute2)"));
    }
    let script = "mount -t tmpfs -o mode=755 none /run && exec \"$0\"";
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "sh",
            "-c",
            script,
        ])
        .arg(env::current_exe()?)
        .env(ROLE, row)
        .output()?;
    if output.status.success() { Ok(Completion::Completed) } else { Err(text(&output).into()) }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn netlab(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_remove("XDG_RUNTIME_DIR").output().expect("the program starts")
}

/// As `Some(code)`, with everything it said.
fn gc(arguments: &[&str]) -> (Option<i32>, String) {
    let output = netlab(&[&["gc"], arguments].concat());
    (output.status.code(), text(&output))
}

/// A run that takes the machine and dies of SIGKILL, with a journal that is real.
fn die() -> ExitCode {
    let turn = Turn::wait(false, |_holder| {}).expect("the machine is this test's own");
    let _session = Session::begin("labs::dies", turn).expect("a journal can be had");
    kill(getpid(), Signal::SIGKILL).expect("a process may kill itself");
    ExitCode::FAILURE
}

/// A dead run, and a bridge that it says it made. Gives the journal.
fn dead_run() -> PathBuf {
    let own = env::current_exe().expect("this program's path");
    let died = Command::new(own)
        .env(ROLE, DIES)
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("this program starts");
    let folder =
        fs::read_dir("/run/netlab").unwrap_or_else(|error| panic!("no journal: {error}\n{}", text(&died)));
    let mut files = folder.map(|entry| entry.expect("a folder can be listed").path());
    let journal = files.find(|path| path.extension().is_some_and(|ending| ending == "journal"));
    let journal = journal.expect("a run that dies leaves its journal");

    ip(&["link", "add", "left-over", "type", "bridge"]);
    let link: Value =
        serde_json::from_str(&ip(&["-json", "link", "show", "left-over"])).expect("`ip` writes JSON");
    let change = json!({ "change": {
        "what": "ip link add left-over type bridge",
        "undo": { "undo": "link", "index": link[0]["ifindex"], "name": "left-over", "macs": [link[0]["address"]] },
    } });
    let mut file = OpenOptions::new().append(true).open(&journal).expect("the journal is this test's own");
    writeln!(file, "{change}").expect("the journal is this test's own");
    journal
}

/// The scratch machine is its host; it goes when it is killed.
#[netlab::test(topology = "net lan 10.9.9.0/24; router host real lan; node a lan", timeout = "2min")]
async fn stays() {
    println!("it stays");
    std::future::pending::<()>().await;
}

fn killed() {
    // A new namespace may have what the machine has.
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("the network is this test's own");
    let own = env::current_exe().expect("this program's path");
    let mut command = Command::new(own);
    command
        .args(["--exact", "stays", "--nocapture"])
        .env(ROLE, STAYS)
        .env_remove("XDG_RUNTIME_DIR")
        .env("NETLAB_STRICT", "1");
    let mut runner = command.stdout(Stdio::piped()).spawn().expect("this program starts");
    let said = BufReader::new(runner.stdout.take().expect("it is a pipe"));
    let said: Vec<_> =
        said.lines().map_while(Result::ok).take_while(|line| !line.contains("it stays")).collect();
    let forwards = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("/proc is mounted");
    let is_there = || fs::exists("/proc/sys/net/ipv4/conf/lan").expect("/proc is mounted");
    assert!(is_there() && forwards() == "1\n", "the lab is on the machine: {said:#?}");
    let seen: Value = serde_json::from_slice(&netlab(&["ps", "--json"]).stdout).expect("it writes JSON");
    assert_eq!(
        (&seen["labs"][0]["test"], &seen["labs"][0]["privileged"]),
        (&"gc::stays".into(), &true.into()),
        "{seen:#}"
    );
    assert_eq!(
        gc(&[]),
        (Some(0), "Nothing is left of dead runs.\n".to_owned()),
        "a living run is not touched"
    );
    assert!(is_there());

    runner.kill().and_then(|()| runner.wait()).expect("a child may be killed");
    // Its sandbox ends with it, and holds the machine until then.
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut code, mut said) = gc(&[]);
    while code != Some(0) && said.contains("in use") && Instant::now() < deadline {
        (code, said) = gc(&[]);
    }
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("of `stays`") && said.contains("changes undone"), "{said}");
    assert!(!is_there() && forwards() == "0\n", "{said}");
    // A process of it that is still ending may be one that cannot be looked into.
    assert!(text(&netlab(&["ps"])).starts_with("No lab is alive.\n"));
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("`ip` of iproute2 starts");
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

fn is_there() -> bool {
    fs::exists("/proc/sys/net/ipv4/conf/left-over").expect("/proc is mounted")
}

fn nothing() {
    for arguments in [&[][..], &["--dry-run"]] {
        assert_eq!(gc(arguments), (Some(0), "Nothing is left of dead runs.\n".to_owned()));
    }
    assert_eq!(gc(&["--json"]), (Some(0), "[]\n".to_owned()));
    assert_eq!(gc(&["--force"]).0, Some(2));
}

fn undone() {
    let journal = dead_run();
    let (code, said) = gc(&["--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("of `labs::dies`") && said.contains("\n    ip link add left-over type bridge\n"),
        "{said}"
    );
    let (_, said) = gc(&["--dry-run", "--json"]);
    let entries: Value = serde_json::from_str(&said).expect("it writes JSON");
    assert_eq!(entries[0]["fate"], "would-be-undone");
    assert_eq!(entries[0]["changes"], json!(["ip link add left-over type bridge"]));
    assert!(is_there() && journal.exists(), "a dry run changes nothing");
    let ps = text(&netlab(&["ps"]));
    assert!(ps.contains("A dead run left changes on this machine: `cargo netlab gc`"), "{ps}");

    let (code, said) = gc(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 of 1 changes undone"), "{said}");
    assert!(!is_there() && !journal.exists());
    assert_eq!(gc(&[]), (Some(0), "Nothing is left of dead runs.\n".to_owned()));
    assert_eq!(text(&netlab(&["ps"])), "No lab is alive.\n");
}

fn changed() {
    let journal = dead_run();
    ip(&["link", "set", "left-over", "address", "02:00:00:00:00:99"]);
    let (code, said) = gc(&[]);
    assert_eq!(code, Some(0), "it is somebody else's now: {said}");
    assert!(
        said.contains("0 of 1 changes undone") && said.contains("was left, since somebody else changed it"),
        "{said}"
    );
    assert!(is_there() && !journal.exists());
}

fn in_use() {
    let journal = dead_run();
    let machine = File::open("/proc/self/ns/net").expect("/proc is mounted");
    let lock = Flock::lock(machine, FlockArg::LockExclusiveNonblock).expect("nobody else is here");
    let (code, said) = gc(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the machine is in use by"), "{said}");
    assert!(is_there() && journal.exists());
    drop(lock);
    assert_eq!(gc(&[]).0, Some(0));
    assert!(!is_there());
}

fn damaged() {
    let journal = dead_run();
    fs::write(&journal, "{\"run\":{\"version\":1}}\n").expect("the journal is this test's own");
    let (code, said) = gc(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("its journal is of no use"), "{said}");
    assert!(is_there());
}
