//! A run of the fixtures within a cell, as their user would start it, and what came of it.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::unistd::Pid;

use crate::fixtures::{self, Fixtures};

/// The folder that a cell shares with the tests it runs.
pub const SHARED: &str = "/run/cell";
/// For whatever ought to come soon, on a machine that is busy.
const PATIENCE: u16 = 60_000;

/// Who runs the fixtures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// The machine's root.
    Root,
    /// Somebody without any capability.
    Ordinary,
}

/// What runs the fixtures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harness {
    /// `#[test]`.
    Standard,
    /// `netlab::main!()`.
    Own,
    /// cargo-nextest, which starts a process of the standard harness for each test.
    Nextest,
}

/// What the lab of the fixtures has to do with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing.
    Isolated,
    /// Its host is the machine's own, with a bridge that an interface is a port of, NAT and a moved interface.
    Privileged,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Isolated => "isolated",
            Self::Privileged => "privileged",
        })
    }
}

/// Who runs which fixtures how.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub kind: Kind,
    pub user: User,
    pub harness: Harness,
    pub fixtures: &'a Fixtures,
}

impl Subject<'_> {
    /// The command that runs one test.
    pub fn command(&self, test: &str) -> Command {
        let test = format!("outcomes::{}::{test}", self.kind);
        let mut command = match self.harness {
            Harness::Own => self.program(&self.fixtures.own),
            Harness::Standard => self.program(&self.fixtures.standard),
            Harness::Nextest => {
                let mut command = self.program(Path::new("/run/tools/cargo-nextest"));
                let folder = fixtures::folder_in_cells(self.fixtures);
                command.args(["nextest", "run", "--color=never", "--cargo-metadata"]);
                command.arg(folder.join("teardown-cargo.json")).arg("--binaries-metadata");
                command.arg(folder.join("teardown-binaries.json")).arg("--");
                command
            }
        };
        command.args([&test, "--exact"]);
        command
    }

    /// A program as the user starts it, with nothing in its environment that it does not need.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("NETLAB_OUTCOMES", SHARED)
            // Finding the names of frames takes longer than all else.
            .env("RUST_BACKTRACE", "0")
            .env("HOME", format!("{SHARED}/home"))
            .env("XDG_STATE_HOME", format!("{SHARED}/state"))
            .env("XDG_RUNTIME_DIR", format!("{SHARED}/runtime"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output("out"))
            .stderr(output("err"))
            .process_group(0);
        // A shell has what it starts in the background ignore this, and so these tests and all that they start.
        let heed = || {
            // SAFETY: no handler is involved.
            unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }?;
            Ok(())
        };
        // SAFETY: the closure makes one async-signal-safe call.
        unsafe { command.pre_exec(heed) };
        // An ordinary user's machine is one that the user is root of.
        if self.user == User::Ordinary && self.kind == Kind::Isolated {
            become_ordinary(&mut command);
        }
        command
    }
}

fn output(name: &str) -> File {
    File::options()
        .write(true)
        .truncate(true)
        .open(Path::new(SHARED).join(name))
        .expect("the cell has made it")
}

/// Has a command run without any capability: as another user. Root who sheds all capabilities is no ordinary user: where it is the only
/// one, it may make no user namespace either (`verify_root_map` in kernel/user_namespace.c).
fn become_ordinary(command: &mut Command) {
    const NOBODY: u32 = 65534;
    let map = fs::read_to_string("/proc/self/uid_map").expect("/proc is mounted");
    let is_there = map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(NOBODY)))
    });
    let found = if is_there { Ok(()) } else { Err("a sandbox has one user here") };
    netlab::requires(
        "users",
        found,
        "`cargo netlab doctor` says how an ordinary user gets a range of users (`newuidmap`)",
    );
    command.uid(NOBODY).gid(NOBODY);
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(status: ExitStatus) -> Self {
        let text = |name: &str| {
            String::from_utf8_lossy(&fs::read(Path::new(SHARED).join(name)).unwrap_or_default()).into_owned()
        };
        Self { status, out: text("out"), err: text("err") }
    }

    /// Whether either output has this text.
    pub fn says(&self, text: &str) -> bool {
        self.out.contains(text) || self.err.contains(text)
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out, self.err)
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ran {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran::of(status)
}

/// Runs a command to its end, beside something to be done meanwhile with its process.
pub fn run_with(mut command: Command, meanwhile: impl FnOnce(Pid) + Send) -> Ran {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_raw(child.id().cast_signed());
    let status = std::thread::scope(|scope| {
        let beside = scope.spawn(move || meanwhile(pid));
        let status = child.wait().expect("it is our child");
        beside.join().expect("it does what it has to");
        status
    });
    Ran::of(status)
}

/// A process of a run that a signal may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process that the test's body is in.
    Test,
    /// PID 1 of its sandbox.
    Init,
    /// The process that started the sandbox.
    Runner,
    /// The process group of the runner, as Ctrl-C at a terminal has it.
    Group,
}

/// A run whose test is waiting.
#[derive(Debug)]
pub struct Underway {
    child: Child,
    init: Pid,
    worker: Pid,
    runner: Pid,
    go: File,
}

/// The fifo of this name, open for both, so that it neither blocks nor ends.
fn fifo(name: &str) -> File {
    let path = Path::new(SHARED).join(name);
    File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .expect("the cell has made it")
}

impl Underway {
    /// Starts it, and returns when the test's body says that it is there.
    pub fn start(mut command: Command) -> Self {
        let (mut ready, go) = (fifo("ready"), fifo("go"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let ended = pidfd(Pid::from_raw(child.id().cast_signed()));
        let mut fds =
            [PollFd::new(ready.as_fd(), PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        let some = poll(&mut fds, PollTimeout::from(PATIENCE)).expect("poll is not interrupted");
        if some == 0 || fds[0].any() != Some(true) {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).expect("it is our child");
            let status = child.wait().expect("it is our child");
            panic!("it did not come to wait: {}", Ran::of(status));
        }
        std::io::Read::read_exact(&mut ready, &mut [0]).expect("it is readable");
        let (init, runner) = init_and_its_parent().expect("a sandbox has an init");
        let worker = second_of_a_sandbox().expect("a sandbox has a worker");
        Self { child, init, worker, runner, go }
    }

    /// Sends a signal.
    pub fn signal(&self, target: Target, signal: Signal) {
        let sent = match target {
            Target::Test => kill(self.worker, signal),
            Target::Init => kill(self.init, signal),
            Target::Runner => kill(self.runner, signal),
            Target::Group => killpg(nix::unistd::getpgid(Some(self.runner)).expect("it runs"), signal),
        };
        sent.expect("it runs, and we are root");
    }

    /// Lets the test return.
    pub fn go(&mut self) {
        self.go.write_all(b"x").expect("a fifo has room for a byte");
    }

    /// The process that started the sandbox.
    pub fn runner(&self) -> Pid {
        self.runner
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let ended = pidfd(Pid::from_raw(self.child.id().cast_signed()));
        let mut fds = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        let timely = poll(&mut fds, PollTimeout::from(PATIENCE)).expect("poll is not interrupted");
        assert_eq!(timely, 1, "it does not end: {}", Ran::of(ExitStatus::from_raw(0)));
        Ran::of(self.child.wait().expect("it is our child"))
    }
}

/// A descriptor of a process.
pub fn pidfd(pid: Pid) -> OwnedFd {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = nix::errno::Errno::result(fd).expect("the process is there");
    // SAFETY: the call has just made this descriptor, for us.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")) }
}

/// All processes of the cell but its own first two, with what `status` says of each.
fn others() -> impl Iterator<Item = (Pid, String)> {
    let pids = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter(|&pid| pid > 2)
        .filter_map(|pid| Some((Pid::from_raw(pid), fs::read_to_string(format!("/proc/{pid}/status")).ok()?)))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The first process of the sandbox in this cell, and who started it.
pub fn init_and_its_parent() -> Option<(Pid, Pid)> {
    others().find_map(|(pid, status)| {
        let parent = field(&status, "PPid")?.parse().ok()?;
        (field(&status, "Name") == Some("netlab-init")).then_some((pid, Pid::from_raw(parent)))
    })
}

/// The second process of the sandbox in this cell.
pub fn second_of_a_sandbox() -> Option<Pid> {
    others().find_map(|(pid, status)| {
        let inside: Vec<&str> = field(&status, "NSpid")?.split_whitespace().collect();
        // As numbered here, and in the sandbox.
        (inside.len() > own_depth() && inside.last() == Some(&"2")).then_some(pid)
    })
}

/// Whether this process, or thread, is of the one that a test's body is in.
pub fn is_a_worker(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let inside: Vec<&str> = field(&status, "NStgid").unwrap_or_default().split_whitespace().collect();
    inside.len() > own_depth() && inside.last() == Some(&"2")
}

/// The processes of all sandboxes in this cell.
pub fn of_sandboxes() -> Vec<Pid> {
    let inside = |status: &str| {
        field(status, "NSpid").is_some_and(|pids| pids.split_whitespace().count() > own_depth())
    };
    others().filter(|(_, status)| inside(status)).map(|(pid, _)| pid).collect()
}

/// Waits until the cell is alone.
pub fn others_end() {
    for (pid, _) in others() {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let Ok(fd) = nix::errno::Errno::result(fd) else { continue };
        // SAFETY: the call has just made this descriptor, for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")) };
        let ended = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE));
        assert_eq!(ended, Ok(1), "process {pid} is still there");
    }
}

/// Starts a command, and returns when it has said that it is ready.
pub fn start_and_wait(mut command: Command) -> Child {
    let mut ready = fifo("ready");
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let some = poll(&mut [PollFd::new(ready.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE));
    assert_eq!(some, Ok(1), "it is not ready");
    std::io::Read::read_exact(&mut ready, &mut [0]).expect("it is readable");
    child
}

/// In how many PID namespaces this process has a number, as far as its `/proc` shows.
fn own_depth() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    field(&status, "NSpid").map_or(1, |pids| pids.split_whitespace().count())
}

/// Makes what a cell shares with its tests.
pub fn make_shared() {
    use nix::sys::stat::Mode;
    let all = std::os::unix::fs::PermissionsExt::from_mode;
    for folder in ["", "home", "state", "runtime", "full"] {
        let path: PathBuf = Path::new(SHARED).join(folder);
        fs::create_dir_all(&path).expect("/run is ours");
        fs::set_permissions(&path, all(0o777)).expect("it is ours");
    }
    for name in ["ready", "go"] {
        let path = Path::new(SHARED).join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR).expect("/run is ours");
        fs::set_permissions(&path, all(0o666)).expect("it is ours");
    }
    for name in ["out", "err"] {
        File::create(Path::new(SHARED).join(name)).expect("/run is ours");
    }
}
