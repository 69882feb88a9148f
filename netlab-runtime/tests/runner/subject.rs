//! Running this binary as a fixture, and what came of it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, io};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::FIXTURE;

/// Who runs the fixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the rows.
    Oneself,
    /// An ordinary user; only root can become one.
    Nobody,
}

impl User {
    pub fn all() -> Vec<Self> {
        if nix::unistd::geteuid().is_root() { vec![Self::Oneself, Self::Nobody] } else { vec![Self::Oneself] }
    }
}

/// What a run of the fixture came to.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "no `{text}` in:\n{self}");
        self
    }

    #[track_caller]
    pub fn does_not_say(&self, text: &str) -> &Self {
        assert!(!self.out.contains(text), "`{text}` in:\n{self}");
        self
    }

    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out, self.err)
    }
}

/// This binary as a fixture: `kind` is the value of its variable.
pub fn fixture(user: User, kind: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env(FIXTURE, kind).stdin(Stdio::null());
    for name in
        ["CI", "NETLAB_STRICT", "NETLAB_THREADS", "RUST_TEST_THREADS", "RUST_BACKTRACE", "NETLAB_TIMEOUT"]
    {
        command.env_remove(name);
    }
    // A shell has what it starts in the background ignore this, and so these tests and all that they start.
    let heed = || {
        // SAFETY: no handler is involved.
        unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }?;
        Ok(())
    };
    // SAFETY: the closure makes one async-signal-safe call.
    unsafe { command.pre_exec(heed) };
    if user == User::Nobody {
        command.uid(65534).gid(65534).current_dir("/");
    }
    command
}

pub fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        status: output.status,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Has the command run on a machine that allows no namespaces of a kind.
pub fn without_namespaces(command: Command, limit: &'static str) -> Command {
    elsewhere(command, move || fs::write(format!("/proc/sys/user/{limit}"), "0"))
}

/// Has the command run as an ordinary user on a machine that `prepare`, as root in namespaces of its own, makes.
#[expect(clippy::disallowed_methods, reason = "nothing but this makes such a machine")]
pub fn elsewhere(
    mut command: Command,
    prepare: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Command {
    let prepare = move || -> io::Result<()> {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        // The change of user has made `/proc/self` root's.
        nix::sys::prctl::set_dumpable(true)?;
        nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("1000 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("1000 {gid} 1"))?;
        // The exec to come takes the capabilities from a user that is not 0.
        prepare()
    };
    // SAFETY: between `fork` and `exec`, where the C library has made its allocator usable again.
    unsafe { command.pre_exec(prepare) };
    command
}
