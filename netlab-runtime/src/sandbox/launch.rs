//! The runner's side: starts a sandbox, reads what comes out of it, ends it in time, and says what became of it.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{pipe2, read};

use super::live::Live;
use super::outcome::{Failure, Outcome, human};
use super::output::Output;
use super::report::{self, Message, Report};
use super::survivors::Held;
use super::{users, worker};
use crate::machine::PRIVATE_LOCK;
use crate::registry::TestDef;
use crate::sys::process::{Descriptors, Init, Network, Program};

/// How long a worker may take to end after its report: writing a coverage profile takes a while.
const GRACE: Duration = Duration::from_secs(10);

/// The harness that the test binary has around its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harness {
    /// `netlab::main!()`.
    Own,
    /// The standard one, which has to be told which test to run.
    Standard,
}

/// How a test is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The harness of this binary.
    pub harness: Harness,
    /// Whether output goes where the runner's goes, as it is written, rather than being captured.
    pub live: bool,
    /// When the test is to be given up.
    pub limit: Limit,
}

/// When a test is to be given up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// After how long, the scale included.
    pub after: Duration,
    /// `NETLAB_TIMEOUT_SCALE`.
    pub scale: f64,
    /// Who says so.
    pub source: &'static str,
}

impl Eq for Limit {}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", human(self.after), self.source)?;
        if self.scale != 1.0 {
            write!(f, ", scaled by NETLAB_TIMEOUT_SCALE={}", self.scale)?;
        }
        write!(f, ")")
    }
}

/// A test that has run.
#[derive(Debug)]
pub struct Run {
    /// What became of it.
    pub outcome: Outcome,
    /// What it wrote, unless that went out live.
    pub output: Output,
    /// How long it took, with its sandbox and its lab.
    pub elapsed: Duration,
    /// What it had, still held.
    pub(super) held: Vec<Held>,
}

impl Run {
    /// A test that did not come to have a sandbox, and failed.
    pub fn failed(failure: Failure) -> Self {
        Self::without(Outcome::Failed(failure))
    }

    /// A test that did not come to have a sandbox.
    pub fn without(outcome: Outcome) -> Self {
        Self { outcome, output: Output::default(), elapsed: Duration::ZERO, held: Vec::new() }
    }
}

/// What a test on the machine's own network has on the runner's side.
pub struct OnTheMachine<'s> {
    /// Whether the host is the machine itself, rather than a network of the sandbox's own beside it.
    pub real: bool,
    /// The machine's network namespace, which is the lock as well, and the journal.
    pub descriptors: [OwnedFd; 2],
    /// Keeps the namespace of the place of this name beyond the end of the sandbox: an interface of the machine is about to
    /// be moved there.
    pub keep: &'s mut dyn FnMut(&str, OwnedFd) -> Result<(), String>,
}

impl fmt::Debug for OnTheMachine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnTheMachine").field("real", &self.real).finish_non_exhaustive()
    }
}

/// A test whose topology had to be computed to see that it touches the machine. Nothing was changed; it is to be run again,
/// as what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsTheMachine {
    /// Whether its host is the machine itself.
    pub real: bool,
}

/// Runs a test in a sandbox of its own.
///
/// # Errors
///
/// The lab touches the machine, and no `machine` was given for it.
///
/// # Teardown
///
/// On return, every process of the sandbox is dead. Its namespaces are held, until [`Run::settle`]. What was done to the
/// machine is the caller's to undo, before that.
pub fn launch(
    def: &TestDef,
    how: Launch,
    mut machine: Option<OnTheMachine<'_>>,
) -> Result<Run, NeedsTheMachine> {
    let started = Instant::now();
    let mut output = Output::default();
    let mut held = Vec::new();
    let outcome = match Sandbox::start(def, how, machine.as_ref()) {
        Ok(sandbox) => {
            held.extend(Held::of_init(def.name(), sandbox.init.pid()));
            sandbox.watch(def, how, started, &mut output, &mut held, machine.as_mut())?
        }
        Err(outcome) => outcome,
    };
    Ok(Run { outcome, output, elapsed: started.elapsed(), held })
}

struct Sandbox {
    /// Dropped first: what ends it must not find it dead and reaped.
    live: Live,
    init: Init,
    report: OwnedFd,
    output: Option<OwnedFd>,
}

fn broken(what: &str, error: impl Into<io::Error>) -> Outcome {
    let error: io::Error = error.into();
    Outcome::Failed(Failure::Sandbox(format!("the sandbox could not be made: {what}: {error}")))
}

impl Sandbox {
    fn start(def: &TestDef, how: Launch, machine: Option<&OnTheMachine<'_>>) -> Result<Self, Outcome> {
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(|error| broken("`/dev/null`", error))?;
        let (report, report_theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(|error| broken("`socketpair`", error))?;
        let capture =
            if how.live { None } else { Some(capture_pipe().map_err(|error| broken("`pipe`", error))?) };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (output, errors) = match &capture {
            Some((_, theirs)) => (theirs.as_fd(), theirs.as_fd()),
            None => (stdout.as_fd(), stderr.as_fd()),
        };
        let descriptors = Descriptors {
            stdin: null.as_fd(),
            stdout: if how.harness == Harness::Standard { null.as_fd() } else { output },
            stderr: errors,
            report: report_theirs.as_fd(),
            output,
        };
        let orders = machine.map(|machine| (machine.real, machine.descriptors.each_ref().map(AsFd::as_fd)));
        report::give_orders(report.as_fd(), orders).map_err(|error| broken("its orders", error))?;
        let program = program(def, how.harness, machine.is_some());
        let init = match machine {
            // In a user namespace of its own it could do nothing to the machine.
            Some(OnTheMachine { real, .. }) => {
                let network = if *real { Network::OfTheRunner } else { Network::Own };
                Init::start(Some(&program), network, descriptors, None)
            }
            None => users::start(Some(&program), Network::Own, descriptors),
        };
        let init = init.map_err(Outcome::of_setup)?;
        let live = Live::enter(init.pidfd()).map_err(|error| broken("a descriptor of its own", error))?;
        Ok(Self { live, init, report, output: capture.map(|(ours, _)| ours) })
    }

    fn watch(
        mut self,
        def: &TestDef,
        how: Launch,
        started: Instant,
        output: &mut Output,
        held: &mut Vec<Held>,
        mut machine: Option<&mut OnTheMachine<'_>>,
    ) -> Result<Outcome, NeedsTheMachine> {
        let may_keep = machine.is_some();
        let mut keep = move |place: &str, namespace| match &mut machine {
            Some(machine) => (machine.keep)(place, namespace),
            None => Err("this test has nothing to do with the machine".to_owned()),
        };
        let mut inbox = Inbox::default();
        // So far off that it is never: a duration beyond what the clock can tell.
        let limit = started.checked_add(how.limit.after);
        let mut deadline = limit;
        let mut given_up = false;
        loop {
            let ready = match wait(self.sources(&inbox), deadline) {
                Ok(ready) => ready,
                Err(error) => return Ok(broken("`poll`", error)),
            };
            if ready.output {
                self.read_output(output);
            }
            if ready.report && inbox.take(self.report.as_fd(), &mut keep) {
                deadline = Instant::now().checked_add(GRACE);
            }
            if ready.ended {
                break;
            }
            if !given_up && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.init.kill();
                given_up = true;
                deadline = None;
            }
        }
        // All are dead: what they wrote is complete, and there will be no more.
        self.read_output(output);
        inbox.take(self.report.as_fd(), &mut keep);
        drop(self.live);
        let ended = self.init.wait();
        // One that cannot be named is let go now, which is only slower.
        held.extend(
            inbox.namespaces.into_iter().filter_map(|(node, fd)| Held::network(def.name(), &node, fd).ok()),
        );
        match inbox.report {
            Some(Report::Machine { real }) if !may_keep => Err(NeedsTheMachine { real }),
            None if given_up => Ok(Outcome::Failed(Failure::TimedOut(how.limit))),
            report => Ok(Outcome::of(report, ended, def.should_panic)),
        }
    }

    fn sources(&self, inbox: &Inbox) -> [Option<BorrowedFd<'_>>; 3] {
        let report = (!inbox.ended).then(|| self.report.as_fd());
        [Some(self.init.pidfd()), report, self.output.as_ref().map(AsFd::as_fd)]
    }

    fn read_output(&mut self, output: &mut Output) {
        let Some(pipe) = &self.output else { return };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match read(pipe, &mut buffer) {
                Ok(length @ 1..) => output.push(&buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Ok(0) | Err(_) => {
                    // Nobody is left who could write.
                    self.output = None;
                    return;
                }
            }
        }
    }
}

/// What came through the socket.
#[derive(Default)]
struct Inbox {
    report: Option<Report>,
    namespaces: Vec<(String, OwnedFd)>,
    ended: bool,
}

impl Inbox {
    /// Takes what is there, and answers what asks; says whether a first report was among it.
    fn take(
        &mut self,
        socket: BorrowedFd<'_>,
        keep: &mut dyn FnMut(&str, OwnedFd) -> Result<(), String>,
    ) -> bool {
        let mut buffer = vec![0; report::LONGEST];
        let before = self.report.is_some();
        while !self.ended {
            match report::receive(socket, &mut buffer) {
                Ok(Message::Report(report)) => self.report = self.report.take().or(Some(report)),
                Ok(Message::Namespaces(more)) => self.namespaces.extend(more),
                Ok(Message::Keep { place, namespace }) => {
                    // Who asked may be dead by now; then nobody waits for the answer.
                    if let Err(errno) = report::answer(socket, keep(&place, namespace)) {
                        tracing::debug!("the namespace of `{place}` is kept, and nobody hears it: {errno}");
                    }
                }
                Ok(Message::Unknown) | Err(Errno::EINTR) => {}
                Ok(Message::End) => self.ended = true,
                Err(_) => break,
            }
        }
        !before && self.report.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Ready {
    ended: bool,
    report: bool,
    output: bool,
}

/// Waits for any of the pidfd, the socket and the output, or for the deadline.
fn wait(sources: [Option<BorrowedFd<'_>>; 3], deadline: Option<Instant>) -> Result<Ready, Errno> {
    let (index, mut fds): (Vec<usize>, Vec<PollFd<'_>>) = (0..)
        .zip(sources)
        .filter_map(|(index, source)| Some((index, PollFd::new(source?, PollFlags::POLLIN))))
        .unzip();
    let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so as not to wake just before it.
        let milliseconds = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
        PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let is_ready = |wanted: usize| {
        index.iter().zip(&fds).any(|(&index, fd)| index == wanted && fd.any().unwrap_or(true))
    };
    Ok(Ready { ended: is_ready(0), report: is_ready(1), output: is_ready(2) })
}

fn capture_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((ours, theirs))
}

/// The test binary, to be run again for this test alone.
fn program(def: &TestDef, harness: Harness, on_the_machine: bool) -> Program {
    let own_name = std::env::args_os().next().unwrap_or_else(|| OsString::from("test"));
    let mut argv = vec![own_name, def.name().into()];
    if harness == Harness::Standard {
        argv.extend(["--exact", "--nocapture", "--test-threads=1", "--include-ignored"].map(OsString::from));
    }
    Program {
        // Not the path, which may name another file by now.
        path: c"/proc/self/exe".to_owned(),
        argv: argv.into_iter().filter_map(c_string).collect(),
        envp: environment(def, on_the_machine).into_iter().filter_map(c_string).collect(),
    }
}

/// Arguments and variables of a process have no zero bytes in them.
fn c_string(string: OsString) -> Option<CString> {
    CString::new(string.into_vec()).ok()
}

/// This process's environment, with what makes a worker of the next.
fn environment(def: &TestDef, on_the_machine: bool) -> Vec<OsString> {
    const BACKTRACE: &str = "RUST_BACKTRACE";
    const LIB_BACKTRACE: &str = "RUST_LIB_BACKTRACE";
    const PROFILE: &str = "LLVM_PROFILE_FILE";
    let mut variables: Vec<(OsString, OsString)> =
        std::env::vars_os().filter(|(name, _)| name != worker::VARIABLE).collect();
    let has =
        |variables: &[(OsString, OsString)], wanted: &str| variables.iter().any(|(name, _)| name == wanted);
    if worker::backtrace_by_default(def) && !has(&variables, BACKTRACE) {
        // Errors that capture one when they are made would do so thousands of times, unasked.
        if !has(&variables, LIB_BACKTRACE) {
            variables.push((LIB_BACKTRACE.into(), "0".into()));
        }
        variables.push((BACKTRACE.into(), "1".into()));
    }
    for (name, value) in &mut variables {
        if name == PROFILE {
            *value = OsString::from(unique_profile(&value.to_string_lossy()));
        }
        if name == "PATH" {
            *value = with_folders_of_root(value);
        }
    }
    let (lock, own) = PRIVATE_LOCK;
    if !on_the_machine && !has(&variables, lock) {
        variables.push((lock.into(), own.into()));
    }
    variables.push((worker::VARIABLE.into(), def.path.into()));
    let join = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        name
    };
    variables.into_iter().map(join).collect()
}

/// A `PATH` with the folders behind it that root's has: everybody is root in a sandbox, and that is where `ip`, `iptables`
/// and `nginx` are, which Debian's ordinary users do not find.
fn with_folders_of_root(path: &OsStr) -> OsString {
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    let of_root = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let missing = of_root.into_iter().filter(|folder| !folders.contains(folder));
    std::env::join_paths(folders.iter().cloned().chain(missing)).unwrap_or_else(|_odd| path.to_owned())
}

/// A pattern of `LLVM_PROFILE_FILE` that no other sandbox has: the process id in it is the same in all of them.
fn unique_profile(pattern: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let own = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    if pattern.contains("%p") {
        return pattern.replace("%p", &format!("{own}-%p"));
    }
    // A pool of files into which processes merge, taking turns (`%m`, `%4m`), needs no more.
    if pattern
        .split('%')
        .skip(1)
        .any(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('m'))
    {
        return pattern.to_owned();
    }
    match pattern.strip_suffix(".profraw") {
        Some(stem) => format!("{stem}-{own}.profraw"),
        None => format!("{pattern}-{own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_root_are_found_by_everybody() {
        let path = |path: &str| with_folders_of_root(OsStr::new(path)).into_string().unwrap();
        assert_eq!(path("/home/a/bin:/usr/bin"), "/home/a/bin:/usr/bin:/usr/local/sbin:/usr/sbin:/sbin");
        let roots = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin";
        assert_eq!(path(roots), roots);
    }

    #[test]
    fn profiles_are_unique_where_they_would_collide() {
        let pid = std::process::id();
        assert!(unique_profile("/x/a-%p.profraw").starts_with(&format!("/x/a-{pid}-")));
        assert!(unique_profile("/x/a-%p.profraw").ends_with("-%p.profraw"));
        assert_eq!(unique_profile("/x/a-%4m.profraw"), "/x/a-%4m.profraw");
        assert_ne!(unique_profile("/x/default.profraw"), unique_profile("/x/default.profraw"));
        assert!(unique_profile("/x/default.profraw").ends_with(".profraw"));
    }

    #[test]
    fn a_limit_says_where_it_comes_from() {
        let limit = Limit { after: Duration::from_secs(8), scale: 4.0, source: "`timeout` of the test" };
        assert_eq!(limit.to_string(), "8s (`timeout` of the test, scaled by NETLAB_TIMEOUT_SCALE=4)");
    }
}
