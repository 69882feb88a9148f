//! A runner on the scratch machine, and the tests it runs.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use netlab::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

/// The fixture, run for these tests.
pub fn command(tests: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(tests).args(["--exact", "--no-capture"]).env("NETLAB_TESTS_SCRATCH_MACHINE", "1");
    for name in ["CI", "NETLAB_STRICT", "NETLAB_THREADS", "RUST_TEST_THREADS", "NETLAB_TIMEOUT"] {
        command.env_remove(name);
    }
    command
}

/// Cargo puts it one folder above the test binaries.
fn path() -> PathBuf {
    let own = std::env::current_exe().expect("a process has a file");
    let folder =
        own.parent().and_then(|deps| deps.parent()).expect("cargo has put it into a folder of a folder");
    folder.join("netlab-privileged")
}

/// A run to its end.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub said: String,
}

impl Ran {
    #[track_caller]
    pub fn passed(&self) -> &Self {
        assert!(self.status.success(), "{}\n{}", self.status, self.said);
        self
    }

    #[track_caller]
    pub fn failed(&self) -> &Self {
        assert_eq!(self.status.code(), Some(101), "{}", self.said);
        self
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.said.contains(text), "no `{text}` in:\n{}", self.said);
        self
    }
}

/// Runs to the end.
pub fn run(mut command: Command) -> netlab::Result<Ran> {
    let output = command.stdin(Stdio::null()).output()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(Ran { status: output.status, said })
}

/// A runner whose test is ready for visitors.
pub struct Underway {
    runner: Child,
    out: BufReader<ChildStdout>,
    said: String,
}

impl Underway {
    /// Starts one, and returns when its test says that it is ready.
    pub fn start(test: &str) -> netlab::Result<Self> {
        let mut runner = command(&[test]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(runner.stdout.take().expect("it is piped"));
        let mut underway = Self { runner, out, said: String::new() };
        while !underway.said.ends_with("ready\n") {
            if underway.out.read_line(&mut underway.said)? == 0 {
                return Err(netlab::Error::msg(format!("it ended before it was ready:\n{}", underway.said)));
            }
        }
        Ok(underway)
    }

    pub fn runner(&self) -> Pid {
        Pid::from_raw(self.runner.id().cast_signed())
    }

    /// The first process of its sandbox: the runner's child.
    pub fn init(&self) -> netlab::Result<Pid> {
        let wanted = format!("PPid:\t{}", self.runner.id());
        for entry in fs::read_dir("/proc")? {
            let process = entry?;
            let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
            if status.lines().any(|line| line == wanted) {
                return Ok(Pid::from_raw(process.file_name().to_string_lossy().parse()?));
            }
        }
        Err(netlab::Error::msg("the runner has no child"))
    }

    /// Kills one of its processes, or the runner.
    pub fn kill(&self, process: Pid) -> netlab::Result {
        Ok(kill(process, Signal::SIGKILL)?)
    }

    /// Waits until the runner and all of its test's processes have ended: then nobody is left to write.
    pub fn wait(mut self) -> netlab::Result<Ran> {
        self.out.read_to_string(&mut self.said)?;
        Ok(Ran { status: self.runner.wait()?, said: self.said })
    }
}

/// Visits a node from outside, and says what it said; `order` is how its test is to end.
pub async fn visit(from: &Node, addr: &str, order: &str) -> netlab::Result<String> {
    let mut stream = tokio::io::BufReader::new(from.tcp_connect(addr).await?);
    let mut said = String::new();
    stream.read_line(&mut said).await?;
    stream.write_all(order.as_bytes()).await?;
    Ok(said.trim_end().to_owned())
}
