//! Running this binary as a fixture, and what came of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

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

    pub fn name(self) -> &'static str {
        match self {
            Self::Oneself if nix::unistd::geteuid().is_root() => "root",
            Self::Oneself | Self::Nobody => "user",
        }
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

/// This binary, where every user may execute it.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::current_exe().unwrap())
}

pub fn fixture(user: User, kind: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env(FIXTURE, kind).stdin(Stdio::null());
    for name in
        ["CI", "NETLAB_STRICT", "NETLAB_THREADS", "RUST_TEST_THREADS", "RUST_BACKTRACE", "NETLAB_TIMEOUT"]
    {
        command.env_remove(name);
    }
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

/// A run under way, with everything that belongs to it.
pub struct Underway {
    pub child: Child,
    mark: String,
}

const MARK: &str = "NETLAB_TESTS_MARK";

impl Underway {
    /// Starts a fixture in a process group of its own, and returns when it has written a line with `word`.
    pub fn start(mut command: Command, word: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mark = format!("{}-{count}", std::process::id());
        let mut child = command
            .env(MARK, &mark)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(word)), "it ended before it said `{word}`");
        Self { child, mark }
    }

    /// Descriptors of all processes that come of it, wherever they went.
    pub fn processes(&self) -> Vec<(i32, OwnedFd)> {
        let wanted = format!("{MARK}={}", self.mark);
        let marked = |pid: i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().parse().ok())
            .filter(|&pid| marked(pid))
            .map(|pid| (pid, pidfd(pid)))
            .collect()
    }

    /// Waits until all of these are dead.
    #[track_caller]
    pub fn all_end(processes: &[(i32, OwnedFd)]) {
        for (pid, pidfd) in processes {
            let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            let ended = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
            assert_eq!(ended, 1, "process {pid} of the run is still there");
        }
    }
}

fn pidfd(pid: i32) -> OwnedFd {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(fd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
    // SAFETY: the call has just made this descriptor, for us.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) }
}

/// Becomes the fixture on a machine that allows no namespaces of a kind: an ordinary user in a user namespace,
/// whose own limit is set to 0.
#[expect(clippy::disallowed_methods, reason = "nothing but this makes such a machine")]
pub fn without_namespaces(limit: &str) -> ExitCode {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).unwrap();
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/uid_map", format!("1000 {uid} 1")).unwrap();
    fs::write("/proc/self/gid_map", format!("1000 {gid} 1")).unwrap();
    fs::write(format!("/proc/sys/user/{limit}"), "0").unwrap();
    // An exec takes the capabilities from a user that is not 0.
    let error = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).env(FIXTURE, "plain").exec();
    panic!("{error}");
}
