//! `cargo netlab ps` as a black box.
//!
//! This binary is both sides. Run by cargo it is the rows; a row runs it again with [`FIXTURE`] set, and then it is a binary with
//! a test whose lab stays.

#![expect(clippy::disallowed_methods, reason = "what is read here is no setting of netlab's")]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

const FIXTURE: &str = "NETLAB_TESTS_PS";
const BINARY: &str = env!("CARGO_BIN_EXE_cargo-netlab");

fn main() -> ExitCode {
    if env::var_os(FIXTURE).is_some() {
        return netlab::__private::main(false);
    }
    let trials = vec![
        Trial::test("a_lab_is_listed_while_it_is_alive", a_lab_is_listed_while_it_is_alive),
        Trial::ignorable_test("other_users_see_none_and_are_told", other_users_see_none_and_are_told),
        Trial::test("no_lab_is_no_error", no_lab_is_no_error),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[netlab::test(topology = "net lan; node a lan; node b lan", timeout = "2min")]
async fn stays() {
    println!("it stays");
    std::future::pending::<()>().await;
}

/// A run of [`stays`], killed when dropped.
struct Run(Child);

impl Run {
    /// Returns once the test says that it runs.
    fn start() -> Self {
        let own = env::current_exe().expect("this program's path");
        let child = Command::new(own)
            .args(["--exact", "stays", "--nocapture"])
            .env(FIXTURE, "1")
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("this program starts");
        let said = BufReader::new(child.stdout.take().expect("it is a pipe"));
        assert!(
            said.lines().map_while(Result::ok).any(|line| line.contains("it stays")),
            "the fixture ended"
        );
        Self(child)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("the fixture cannot be ended: {error}");
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lab of a runner, as `ps --json` has it.
fn lab(runner: u32) -> Option<Value> {
    let output = Command::new(BINARY).args(["ps", "--json"]).output().expect("the program starts");
    let seen: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    assert!(output.status.success());
    let labs = seen["labs"].as_array().expect("labs are a list");
    let mut of_it = labs.iter().filter(|lab| lab["runner"] == runner);
    let lab = of_it.next().cloned();
    assert!(of_it.next().is_none(), "one lab of this run: {seen:#}");
    lab
}

fn a_lab_is_listed_while_it_is_alive() -> Result<(), Failed> {
    let run = Run::start();
    let runner = run.0.id();
    let lab = lab(runner).ok_or("the lab is not listed")?;
    assert_eq!(lab["test"], "ps::stays");
    assert_eq!(lab["binary"].as_str(), env::current_exe()?.to_str());
    assert_eq!(lab["uid"], nix::unistd::getuid().as_raw());
    assert_eq!(lab["privileged"], false);
    assert!(lab["seconds"].as_u64().is_some_and(|seconds| seconds < 120), "{lab:#}");
    let table = Command::new(BINARY).args(["netlab", "ps"]).output()?;
    let row = |line: &str| {
        line.starts_with(&runner.to_string()) && line.contains(" own ") && line.ends_with("ps::stays")
    };
    assert!(text(&table).lines().any(row), "{}", text(&table));

    drop(run);
    // The kernel is quick, but not done when the runner is dead.
    let deadline = Instant::now() + Duration::from_secs(20);
    while self::lab(runner).is_some() {
        if Instant::now() > deadline {
            return Err("the lab is listed after its end".into());
        }
    }
    Ok(())
}

fn other_users_see_none_and_are_told() -> Result<Completion, Failed> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root, to become another user"));
    }
    let run = Run::start();
    // The binary may lie where only root may look: it is bound over a file that everybody may execute.
    let script =
        "mount -t tmpfs -o mode=755 none /mnt && touch /mnt/it && mount --bind \"$0\" /mnt/it && cd /mnt
        exec setpriv --reuid 65534 --regid 65534 --clear-groups /mnt/it ps";
    let other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, BINARY])
        .output()?;
    let said = text(&other);
    assert!(other.status.success() && !said.contains(&run.0.id().to_string()), "{said}");
    assert!(said.contains("Labs of other users can be seen by root only."), "{said}");
    Ok(Completion::Completed)
}

fn no_lab_is_no_error() -> Result<(), Failed> {
    // Among the processes of a new PID namespace there is none.
    let alone = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", BINARY, "ps"];
    let output = Command::new("unshare").args(alone).output()?;
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), "No lab is alive.\n"));
    Ok(())
}
