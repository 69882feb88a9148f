//! The first process of a sandbox: what runs between `clone` and `exec`, and as PID 1 ever after.
//!
//! Invariant: this code runs in a copy of a threaded process of which only one thread is left. It allocates
//! nothing, takes no lock, and cannot panic; everything it needs was prepared before the clone ([`Setup`]).
//!
//! Invariant: it ends when the worker ends or when the runner's end of the lifeline closes, whichever is first,
//! and with it the kernel ends every process of its PID namespace (`zap_pid_ns_processes`).

use std::ffi::{CStr, c_char};
use std::os::fd::RawFd;

use libc::{c_int, c_long};
use nix::errno::Errno;

/// The worker's socket for reports.
pub(super) const REPORT: RawFd = 3;
/// What the worker is to make its standard output once the harness around it has said its piece.
pub(super) const OUTPUT: RawFd = 4;
/// Init's pipe to the runner: [`Note`]s.
const STATUS: RawFd = 5;
/// Init's end of the pipe that closes when the runner is gone.
const LIFELINE: RawFd = 6;
/// The first descriptor that has no purpose.
const FREE: RawFd = 7;

/// Everything init and the worker need, prepared before the clone.
pub(super) struct Setup {
    /// Descriptors to be 0 to 6, none of them below [`FREE`].
    pub(super) descriptors: [RawFd; 7],
    /// What to write to `uid_map` and `gid_map`; none: no user namespace was made, or one that has its maps was joined.
    pub(super) id_maps: Option<[Vec<u8>; 2]>,
    /// The signal mask of the worker.
    pub(super) mask: libc::sigset_t,
    /// What the worker executes; none: it only tries whether it could be given a network, and ends.
    pub(super) program: Option<ProgramPointers>,
}

/// The arguments of `execve`, borrowed from the caller's strings.
pub(super) struct ProgramPointers {
    pub(super) path: *const c_char,
    pub(super) argv: Vec<*const c_char>,
    pub(super) envp: Vec<*const c_char>,
}

/// The step of setting up a sandbox that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Stage {
    /// `clone` with the namespaces.
    Clone = 1,
    /// Putting descriptors in place, and closing the others (`close_range`, Linux 5.9).
    Descriptors,
    /// Writing `/proc/self/setgroups`.
    SetGroups,
    /// Writing `/proc/self/uid_map`.
    UidMap,
    /// Writing `/proc/self/gid_map`.
    GidMap,
    /// Making the mounts private.
    PrivateMounts,
    /// `signalfd`.
    Signals,
    /// Starting the worker.
    Fork,
    /// `execve` of the test binary.
    Exec,
    /// A network namespace made inside (only tried by a probe).
    Network,
    /// Joining the user namespace that the runner keeps.
    Users,
}

impl Stage {
    /// All of them.
    const ALL: [Self; 11] = [
        Self::Clone,
        Self::Descriptors,
        Self::SetGroups,
        Self::UidMap,
        Self::GidMap,
        Self::PrivateMounts,
        Self::Signals,
        Self::Fork,
        Self::Exec,
        Self::Network,
        Self::Users,
    ];
}

/// What init tells the runner, once or twice in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A step of the setup failed.
    Failed(Stage, Errno),
    /// The worker ended with this raw wait status.
    Ended(c_int),
}

impl Note {
    pub(super) const LEN: usize = 8;

    fn to_bytes(self) -> [u8; Self::LEN] {
        let (kind, value) = match self {
            Self::Failed(stage, errno) => (stage as i32, errno as i32),
            Self::Ended(status) => (0, status),
        };
        let [a, b, c, d] = kind.to_ne_bytes();
        let [e, f, g, h] = value.to_ne_bytes();
        [a, b, c, d, e, f, g, h]
    }

    pub(super) fn from_bytes([a, b, c, d, e, f, g, h]: [u8; Self::LEN]) -> Option<Self> {
        let value = i32::from_ne_bytes([e, f, g, h]);
        match i32::from_ne_bytes([a, b, c, d]) {
            0 => Some(Self::Ended(value)),
            kind => {
                let stage = Stage::ALL.into_iter().find(|&stage| stage as i32 == kind)?;
                Some(Self::Failed(stage, Errno::from_raw(value)))
            }
        }
    }
}

/// Runs as init. The caller is the child of a `clone` with all signals blocked.
pub(super) fn run(setup: &Setup) -> ! {
    // Until it is in place, the status pipe is where the runner had it.
    let status = setup.descriptors[STATUS as usize];
    if let Err(errno) = place_descriptors(&setup.descriptors) {
        fail(status, Stage::Descriptors, errno);
    }
    match prepare(setup) {
        Ok((signals, worker)) => supervise(signals, worker),
        Err((stage, errno)) => fail(STATUS, stage, errno),
    }
}

/// Runs as the process for which the runner maps the users of a namespace: says that it is ready by a byte to the first
/// descriptor, and stays until the second is closed.
pub(super) fn stay(descriptors: &[RawFd; 2]) -> ! {
    // Nothing of the runner's is kept from ending by being open here as well.
    let placed = (0..).zip(descriptors).try_for_each(|(wanted, &from)| dup3(from, wanted, libc::O_CLOEXEC));
    if placed.and_then(|()| close_from(2)).is_err() {
        exit(127);
    }
    make_dumpable();
    name_process(c"netlab-users");
    // SAFETY: the buffer is as long as said. Where nobody reads any more, the wait is over at once.
    unsafe { libc::write(0, [1_u8].as_ptr().cast(), 1) };
    while !is_hung_up(1) {
        wait_readable([1, 1]);
    }
    exit(0)
}

fn place_descriptors(descriptors: &[RawFd; 7]) -> Result<(), Errno> {
    for (wanted, &from) in (0..).zip(descriptors) {
        // Init keeps its own two from the worker.
        let flags = if wanted == STATUS || wanted == LIFELINE { libc::O_CLOEXEC } else { 0 };
        dup3(from, wanted, flags)?;
    }
    close_from(FREE)
}

fn prepare(setup: &Setup) -> Result<(RawFd, libc::pid_t), (Stage, Errno)> {
    if let Some([uid_map, gid_map]) = &setup.id_maps {
        make_dumpable();
        // Without this, an unprivileged process may not write its gid_map (user_namespaces(7)).
        write_file(c"/proc/self/setgroups", b"deny").map_err(|errno| (Stage::SetGroups, errno))?;
        write_file(c"/proc/self/uid_map", uid_map).map_err(|errno| (Stage::UidMap, errno))?;
        write_file(c"/proc/self/gid_map", gid_map).map_err(|errno| (Stage::GidMap, errno))?;
    }
    make_mounts_private().map_err(|errno| (Stage::PrivateMounts, errno))?;
    name_process(c"netlab-init");
    let signals = signalfd_of_children().map_err(|errno| (Stage::Signals, errno))?;
    match fork().map_err(|errno| (Stage::Fork, errno))? {
        0 => worker(setup),
        pid => Ok((signals, pid)),
    }
}

fn worker(setup: &Setup) -> ! {
    let Some(program) = &setup.program else {
        match unshare_network() {
            Ok(()) => exit(0),
            Err(errno) => fail(STATUS, Stage::Network, errno),
        }
    };
    restore_mask(&setup.mask);
    fail(STATUS, Stage::Exec, exec(program))
}

/// Reaps whatever ends, until the worker does or the runner is gone.
fn supervise(signals: RawFd, worker: libc::pid_t) -> ! {
    loop {
        wait_readable([signals, LIFELINE]);
        if is_hung_up(LIFELINE) {
            exit(1);
        }
        drain(signals);
        while let Some((pid, status)) = reap() {
            if pid == worker {
                note(STATUS, Note::Ended(status));
                exit(0);
            }
        }
    }
}

fn fail(status: RawFd, stage: Stage, errno: Errno) -> ! {
    note(status, Note::Failed(stage, errno));
    exit(127)
}

fn note(status: RawFd, note: Note) {
    let bytes = note.to_bytes();
    // SAFETY: the buffer is as long as said. That nobody reads any more is not an error here.
    unsafe { libc::write(status, bytes.as_ptr().cast(), bytes.len()) };
}

fn check(result: c_long) -> Result<c_int, Errno> {
    // The results in question (descriptors, pids, zero) fit.
    if result < 0 { Err(Errno::last()) } else { Ok(result as c_int) }
}

fn dup3(from: RawFd, to: RawFd, flags: c_int) -> Result<(), Errno> {
    // SAFETY: no memory is involved, and the table of descriptors is this process's own.
    let result = unsafe { libc::dup3(from, to, flags) };
    check(result.into()).map(drop)
}

fn close_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: as above; nobody in this process owns what is closed, since nobody else is left in it.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    check(result).map(drop)
}

fn write_file(path: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: the path ends with a NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    let fd = check(fd.into())?;
    // SAFETY: the buffer is as long as said.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    let written = if written < 0 { Err(Errno::last()) } else { Ok(()) };
    // SAFETY: the descriptor was opened above and is used by nobody else.
    unsafe { libc::close(fd) };
    written
}

fn make_mounts_private() -> Result<(), Errno> {
    let null = std::ptr::null();
    // SAFETY: the paths end with a NUL, and a change of propagation reads no data.
    let result =
        unsafe { libc::mount(null, c"/".as_ptr(), null, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()) };
    check(result.into()).map(drop)
}

fn name_process(name: &CStr) {
    // SAFETY: the name ends with a NUL and is shorter than 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Files in `/proc/self` belong to root while a process is not dumpable: after a change of user, or when its
/// binary may be executed but not read.
fn make_dumpable() {
    // SAFETY: no memory is involved. If it fails, so does the writing of the id maps, which is noticed.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
}

fn signalfd_of_children() -> Result<RawFd, Errno> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written by the call.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was initialized by the call above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD) };
    // SAFETY: as above; the signal is blocked, as are all.
    let fd = unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd.into())
}

fn fork() -> Result<libc::pid_t, Errno> {
    // The library's `fork` runs handlers and takes the allocator's locks, which other threads may have held.
    // SAFETY: without CLONE_VM and with no stack given this is a plain fork of a single-threaded process.
    let result = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    check(result)
}

fn unshare_network() -> Result<(), Errno> {
    // SAFETY: this process has one thread and nothing of a network.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    check(result.into()).map(drop)
}

fn restore_mask(mask: &libc::sigset_t) {
    // SAFETY: the mask is initialized; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

fn exec(program: &ProgramPointers) -> Errno {
    // SAFETY: the vectors end with a null pointer and point to strings that live until the exec.
    unsafe { libc::execve(program.path, program.argv.as_ptr(), program.envp.as_ptr()) };
    Errno::last()
}

fn wait_readable(descriptors: [RawFd; 2]) {
    let mut fds = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: the array is as long as said. An interruption is no different from a wake-up.
    unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) };
}

fn is_hung_up(fd: RawFd) -> bool {
    let mut fds = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
    // SAFETY: the array is as long as said.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), 1, 0) };
    ready > 0
}

fn drain(signals: RawFd) {
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: the buffer is as long as said; the descriptor does not block.
    unsafe { libc::read(signals, info.as_mut_ptr().cast(), info.len()) };
}

fn reap() -> Option<(libc::pid_t, c_int)> {
    let mut status = 0;
    // SAFETY: the status is written to a local.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

fn exit(code: c_int) -> ! {
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_as_they_were() {
        for stage in Stage::ALL {
            let note = Note::Failed(stage, Errno::EPERM);
            assert_eq!(Note::from_bytes(note.to_bytes()), Some(note));
        }
        assert_eq!(Note::from_bytes(Note::Ended(139).to_bytes()), Some(Note::Ended(139)));
        assert_eq!(Note::from_bytes([0xff; Note::LEN]), None);
    }
}
