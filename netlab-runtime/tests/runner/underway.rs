//! A run of the fixture that is to be ended from outside.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use netlab_runtime::wait::eventually_blocking;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A run under way, with everything that belongs to it.
pub struct Underway {
    pub child: Child,
    mark: String,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
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
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        says(&mut out, word);
        Self { child, mark, out, err }
    }

    /// Waits for a line with `word`.
    pub fn says_on_stderr(&mut self, word: &str) {
        says(&mut self.err, word);
    }

    /// What it wrote to either since, once it has ended.
    pub fn rest(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        (out, err)
    }

    /// Whether this process ends within so many milliseconds.
    pub fn ends_within(pidfd: &OwnedFd, milliseconds: u16) -> bool {
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(milliseconds)).unwrap()
            == 1
    }

    /// Descriptors of all processes that come of it, wherever they went: of so many at least, which are waited for. One in the middle
    /// of execve(2) shows no environment.
    pub fn processes(&self, at_least: usize) -> Vec<(i32, OwnedFd)> {
        let enough = || {
            let found = self.marked();
            let pids: Vec<i32> = found.iter().map(|(pid, _)| *pid).collect();
            if found.len() >= at_least { Ok(found) } else { Err(format!("only {pids:?}")) }
        };
        eventually_blocking(Duration::from_secs(10), enough).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn marked(&self) -> Vec<(i32, OwnedFd)> {
        let wanted = format!("{MARK}={}", self.mark);
        let marked = |pid: i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().parse().ok())
            .filter(|&pid| marked(pid))
            .filter_map(|pid| Some((pid, pidfd(pid)?)))
            .collect()
    }

    /// Waits until all of these are dead.
    #[track_caller]
    pub fn all_end(processes: &[(i32, OwnedFd)]) {
        for (pid, pidfd) in processes {
            assert!(Self::ends_within(pidfd, 10_000), "process {pid} of the run is still there");
        }
    }
}

fn says(from: &mut impl BufRead, word: &str) {
    let mut lines = from.lines();
    assert!(lines.any(|line| line.unwrap().contains(word)), "it ended before it said `{word}`");
}

/// None if it has ended since.
fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "pidfd_open: {error}");
        return None;
    }
    // SAFETY: the call has just made this descriptor, for us.
    Some(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) })
}
