//! Processes born in namespaces, and the descriptors that stand for them.
//!
//! A sandbox's init is made by `clone` straight from the runner: in a copy of a threaded process that is sound,
//! because the child runs nothing but `sys::init`.

use std::ffi::{CString, c_int};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{getegid, geteuid, pipe2};

use super::init::{self, Note, ProgramPointers, Setup};
use super::users::{self, UserNamespace};

pub use super::init::Stage;

/// `clone` flags of a sandbox; `CLONE_NEWNET` is added for a network of its own, `CLONE_NEWUSER` where the caller lacks
/// privilege.
const NAMESPACES: c_int = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// The lowest number for descriptors on their way to a sandbox, above those they are to have there.
const PARKING: RawFd = 16;

/// A program with its arguments and its whole environment.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to execute.
    pub path: CString,
    /// The arguments, the program's name first.
    pub argv: Vec<CString>,
    /// The environment, as `NAME=value`.
    pub envp: Vec<CString>,
}

/// The descriptors of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors<'fd> {
    /// Standard input.
    pub stdin: BorrowedFd<'fd>,
    /// Standard output as long as the harness around the worker is talking.
    pub stdout: BorrowedFd<'fd>,
    /// Standard error.
    pub stderr: BorrowedFd<'fd>,
    /// The socket for reports.
    pub report: BorrowedFd<'fd>,
    /// The standard output of the test itself.
    pub output: BorrowedFd<'fd>,
}

/// The network that a sandbox is born in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A network namespace of its own, empty but for `lo`.
    Own,
    /// That of the runner: the machine's.
    OfTheRunner,
}

/// Why a sandbox could not be made: the step, and the system's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {errno}", stage = stage_name(*stage))]
pub struct SetupError {
    /// The step.
    pub stage: Stage,
    /// What the system said.
    pub errno: Errno,
}

/// The step as the call that failed.
fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Users => "joining the user namespace of the runner",
        Stage::Clone => "`clone` with new namespaces",
        Stage::Descriptors => "`close_range`",
        Stage::SetGroups => "writing `/proc/self/setgroups`",
        Stage::UidMap => "writing `/proc/self/uid_map`",
        Stage::GidMap => "writing `/proc/self/gid_map`",
        Stage::PrivateMounts => "making mounts private",
        Stage::Signals => "`signalfd`",
        Stage::Fork => "`fork` in the sandbox",
        Stage::Exec => "executing the test binary in the sandbox",
        Stage::Network => "`unshare` of the network in the sandbox",
    }
}

/// The first process of a sandbox, as the runner holds it.
///
/// # Teardown
///
/// Dropping it closes the lifeline: init ends, and every process of the sandbox with it.
#[derive(Debug)]
#[must_use = "dropping it kills the sandbox"]
pub struct Init {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    status: OwnedFd,
    /// Never written to; closing it is the message.
    lifeline: Option<OwnedFd>,
    waited: bool,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// Init was killed before the worker ended.
    WithInit,
}

impl Init {
    /// Starts a sandbox: init in new namespaces, and under it `program`, or without one a mere trial.
    ///
    /// Where the process lacks `CAP_SYS_ADMIN`, they belong to `users`, or without it to a user namespace of their own;
    /// the caller's user and group are 0 inside, so that the worker may do there what root may.
    ///
    /// # Errors
    ///
    /// `clone` or the preparation of descriptors failed, or `users` could not be joined ([`Stage::Users`]). What fails
    /// later comes from [`Init::wait`].
    pub fn start(
        program: Option<&Program>,
        network: Network,
        descriptors: Descriptors<'_>,
        users: Option<&UserNamespace>,
    ) -> Result<Self, SetupError> {
        let at = |stage| move |errno| SetupError { stage, errno };
        let (status, status_theirs) = pipe2(OFlag::O_CLOEXEC).map_err(at(Stage::Descriptors))?;
        let (lifeline_theirs, lifeline) = pipe2(OFlag::O_CLOEXEC).map_err(at(Stage::Descriptors))?;
        let parked = [
            descriptors.stdin,
            descriptors.stdout,
            descriptors.stderr,
            descriptors.report,
            descriptors.output,
            status_theirs.as_fd(),
            lifeline_theirs.as_fd(),
        ]
        .map(park);
        let mut numbers = [0; 7];
        for (number, parked) in numbers.iter_mut().zip(&parked) {
            *number = parked.as_ref().map_err(|&errno| at(Stage::Descriptors)(errno))?.as_raw_fd();
        }

        let unprivileged = !may_administer();
        let users = users.filter(|_| unprivileged);
        let alone = unprivileged && users.is_none();
        let id_maps = alone
            .then(|| [format!("0 {} 1", geteuid()).into_bytes(), format!("0 {} 1", getegid()).into_bytes()]);
        let network = if network == Network::Own { libc::CLONE_NEWNET } else { 0 };
        let flags = NAMESPACES | network | if alone { libc::CLONE_NEWUSER } else { 0 };
        let pointers = |strings: &[CString]| {
            strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let program = program.map(|program| ProgramPointers {
            path: program.path.as_ptr(),
            argv: pointers(&program.argv),
            envp: pointers(&program.envp),
        });

        // A handler of the runner's must not run in the child.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(at(Stage::Signals))?;
        let setup = Setup { descriptors: numbers, id_maps, mask: *mask.as_ref(), program };
        let child = match users {
            Some(users) => users::clone_within(users, flags, &setup),
            None => clone(flags, init::run, &setup).map_err(at(Stage::Clone)),
        };
        let restored = mask.thread_set_mask();
        let init = Self::of_child(child?, status, lifeline);
        restored.map_err(at(Stage::Signals))?;
        Ok(init)
    }

    /// A child in whose life nothing but its end is of interest; it ends when `lifeline` closes.
    pub(super) fn of_child((pid, pidfd): (libc::pid_t, OwnedFd), status: OwnedFd, lifeline: OwnedFd) -> Self {
        Self { pid, pidfd, status, lifeline: Some(lifeline), waited: false }
    }

    /// Its process id, as the runner sees it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A descriptor that becomes readable when every process of the sandbox is dead.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills every process of the sandbox, by two ways of which either is enough.
    pub fn kill(&mut self) {
        drop(self.lifeline.take());
        // Where the call is refused, the lifeline does it.
        kill(self.pidfd());
    }

    /// Waits until every process of the sandbox is dead, and says how the worker ended.
    ///
    /// # Errors
    ///
    /// The sandbox never came to start the worker.
    pub fn wait(mut self) -> Result<Ended, SetupError> {
        self.reap();
        self.waited = true;
        let mut ended = Ended::WithInit;
        let mut bytes = [0; Note::LEN];
        // Two notes at most, each written at once; nobody is left to write a third.
        while let Ok(Note::LEN) = nix::unistd::read(&self.status, &mut bytes) {
            match Note::from_bytes(bytes) {
                Some(Note::Failed(stage, errno)) => return Err(SetupError { stage, errno }),
                Some(Note::Ended(status)) => ended = Ended::from_status(status),
                None => break,
            }
        }
        Ok(ended)
    }

    /// The pidfd reports init's death only after all else in its PID namespace is dead and reaped.
    fn reap(&self) {
        let fd = self.pidfd.as_raw_fd();
        loop {
            let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
            // Init's end raises no signal, so that it concerns nobody who waits for any child: hence `__WALL`.
            // SAFETY: the info is written to a local.
            let result = unsafe {
                libc::waitid(
                    libc::P_PIDFD,
                    fd.unsigned_abs(),
                    info.as_mut_ptr(),
                    libc::WEXITED | libc::__WALL,
                )
            };
            if Errno::result(result) != Err(Errno::EINTR) {
                return;
            }
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        // Only on a way out through an error: leave no zombie.
        if !self.waited {
            self.kill();
            self.reap();
        }
    }
}

impl Ended {
    fn from_status(status: c_int) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Killed { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
        } else {
            Self::Exited(libc::WEXITSTATUS(status))
        }
    }
}

/// Kills the process that a pidfd stands for; an init, and so every process of its sandbox. That it has ended is as well.
pub fn kill(pidfd: BorrowedFd<'_>) {
    // SAFETY: no memory is involved; the descriptor cannot stand for another process.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), Signal::SIGKILL as c_int, 0, 0) };
}

/// A duplicate whose number is above those that a child gives to its descriptors.
pub(super) fn park(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(PARKING))?;
    // SAFETY: the call has just made this descriptor, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Clones this process; `child` is all that the copy runs.
pub(super) fn clone<T>(flags: c_int, child: fn(&T) -> !, given: &T) -> Result<(libc::pid_t, OwnedFd), Errno> {
    let mut pidfd: c_int = -1;
    // `clone`, not `clone3`: filters of containers know its flags, and some refuse the other unseen.
    // No signal at the child's end: the process around us may wait for any child, and must not get ours.
    // SAFETY: without CLONE_VM and with no stack given this is a fork; the child has its own copy of all memory,
    // and calls only what is in `init`, which needs nothing of other threads and never returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::CLONE_PIDFD, 0, &raw mut pidfd, 0, 0) };
    match Errno::result(pid)? {
        0 => child(given),
        pid => {
            // SAFETY: with CLONE_PIDFD a successful clone has made this descriptor, for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok((pid as libc::pid_t, pidfd))
        }
    }
}

/// Whether this process has `CAP_SYS_ADMIN`, and so needs no user namespace to make the others.
pub fn may_administer() -> bool {
    effective_capabilities() & CAP_SYS_ADMIN != 0
}

/// Whether this process may change networks that its user namespace owns: `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`.
pub fn may_administer_networks() -> bool {
    let both = CAP_NET_ADMIN | CAP_SYS_ADMIN;
    effective_capabilities() & both == both
}

/// Of linux/capability.h, as bits.
const CAP_NET_ADMIN: u32 = 1 << 12;
const CAP_SYS_ADMIN: u32 = 1 << 21;

/// The calling thread's first 32 capabilities.
fn effective_capabilities() -> u32 {
    const VERSION_3: u32 = 0x2008_0522;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: the structures are those of capget(2), version 3, which has two `Data`.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    if result == 0 { data[0].effective } else { 0 }
}

/// What a worker inherits by number.
#[derive(Debug)]
pub struct Inherited {
    /// The socket for reports.
    pub report: OwnedFd,
    /// The standard output of the test.
    pub output: OwnedFd,
}

/// Takes the descriptors that a worker was given; call once. Nothing, if they are not what a worker is given.
pub fn inherited() -> Option<Inherited> {
    static TAKEN: std::sync::Once = std::sync::Once::new();
    let mut taken = None;
    TAKEN.call_once(|| {
        let mut kind: c_int = 0;
        let mut length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the option's value is an int, and its length says so.
        let result = unsafe {
            libc::getsockopt(
                init::REPORT,
                libc::SOL_SOCKET,
                libc::SO_TYPE,
                (&raw mut kind).cast(),
                &raw mut length,
            )
        };
        if result != 0 || kind != libc::SOCK_SEQPACKET {
            return;
        }
        // SAFETY: the runner put this descriptor here for this process, and this is the one place to take it.
        let report = unsafe { OwnedFd::from_raw_fd(init::REPORT) };
        // SAFETY: as above.
        let output = unsafe { OwnedFd::from_raw_fd(init::OUTPUT) };
        for fd in [&report, &output] {
            if fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).is_err() {
                return;
            }
        }
        taken = Some(Inherited { report, output });
    });
    taken
}

static AT_EXIT: OnceLock<(libc::pid_t, fn())> = OnceLock::new();

/// Has a function called when this process exits in orderly fashion; not in copies of it made by `fork`. Whether that can be had, once.
pub fn at_exit(call: fn()) -> bool {
    extern "C" fn handler() {
        if let Some(&(pid, call)) = AT_EXIT.get()
            && pid == nix::unistd::getpid().as_raw()
        {
            call();
        }
    }
    // SAFETY: the handler is a function of this program, which is never unloaded before it exits.
    AT_EXIT.set((nix::unistd::getpid().as_raw(), call)).is_ok() && unsafe { libc::atexit(handler) } == 0
}

/// Ends this process, now: no destructors, no handlers of exit.
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

/// Ends this process by way of its handlers of exit: what writes coverage profiles is one of them.
pub fn exit_with_handlers(code: i32) -> ! {
    // SAFETY: as at the end of every program's `main`, whatever its other threads are doing.
    unsafe { libc::exit(code) }
}

/// Writes out what C's standard streams still hold.
pub fn flush_c_streams() {
    // SAFETY: a null pointer means all streams; each is locked by the call.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}
