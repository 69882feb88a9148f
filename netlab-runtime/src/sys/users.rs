//! User namespaces with more than one user, which a runner makes once and keeps.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::pipe2;

use super::init::{self, Setup};
use super::process::{self, Init, SetupError, Stage};

/// Room for the few calls of [`errand`] and, in a copy, of `init`.
const ERRAND_STACK: usize = 256 * 1024;

/// A user namespace that is kept for the sandboxes of this process.
///
/// # Teardown
///
/// It ends with this descriptor and the last sandbox in it.
#[derive(Debug)]
pub struct UserNamespace(OwnedFd);

impl UserNamespace {
    /// Makes one, whose users and groups `map` maps, given the id of a process in it.
    ///
    /// # Errors
    ///
    /// The kernel allows no such namespace, or what `map` said.
    pub fn make<E: From<SetupError>>(map: impl FnOnce(i32) -> Result<(), E>) -> Result<Self, E> {
        let at = |stage| move |errno| SetupError { stage, errno };
        let (ready, ready_theirs) = pipe().map_err(at(Stage::Descriptors))?;
        let (lifeline_theirs, lifeline) = pipe().map_err(at(Stage::Descriptors))?;
        let theirs = [&ready_theirs, &lifeline_theirs].map(AsRawFd::as_raw_fd);
        // A handler of the runner's must not run in the child.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(at(Stage::Signals))?;
        let child = process::clone(libc::CLONE_NEWUSER, init::stay, &theirs);
        let restored = mask.thread_set_mask();
        let child = child.map_err(at(Stage::Clone))?;
        let pid = child.0;
        // Ends and is reaped on every way out.
        let _child = Init::of_child(child, lifeline_theirs, lifeline);
        restored.map_err(at(Stage::Signals))?;
        drop(ready_theirs);
        // Until it says so, the files in its `/proc` may not be the caller's.
        match nix::unistd::read(&ready, &mut [0]) {
            Ok(1) => {}
            Ok(_) => return Err(at(Stage::Descriptors)(Errno::EPIPE).into()),
            Err(errno) => return Err(at(Stage::Descriptors)(errno).into()),
        }
        map(pid)?;
        let namespace = std::fs::File::open(format!("/proc/{pid}/ns/user"))
            .map_err(|error| at(Stage::Users)(Errno::try_from(error).unwrap_or(Errno::EIO)))?;
        Ok(Self(namespace.into()))
    }
}

/// A pipe whose ends have numbers that are out of the child's way.
fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((process::park(read.as_fd())?, process::park(write.as_fd())?))
}

/// What a process that is in `users` for a moment is to do there, and what came of it.
struct Errand<'a> {
    users: RawFd,
    flags: c_int,
    setup: &'a Setup,
    pidfd: c_int,
    outcome: Result<libc::pid_t, SetupError>,
}

/// As [`process::clone`], with init and its namespaces in a user namespace that is there already.
///
/// A threaded process cannot enter it (`userns_install` in kernel/user_namespace.c). So a child that shares memory and
/// descriptors, as `posix_spawn` has it, enters it, and clones init as its sibling: a child of this process, with
/// a descriptor for it in this process's table.
pub(super) fn clone_within(
    users: &UserNamespace,
    flags: c_int,
    setup: &Setup,
) -> Result<(libc::pid_t, OwnedFd), SetupError> {
    let failed = |errno| SetupError { stage: Stage::Users, errno };
    let mut run = Errand {
        users: users.0.as_raw_fd(),
        flags: flags | libc::CLONE_PIDFD | libc::CLONE_PARENT,
        setup,
        pidfd: -1,
        outcome: Err(failed(Errno::EIO)),
    };
    let mut stack = vec![0_u128; ERRAND_STACK / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end;
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    // SAFETY: the stack and what the child is given outlive it, since this thread goes on only when it has ended
    // (CLONE_VFORK); all signals are blocked, so that no handler runs on its stack. No signal at its end, as above,
    // which init inherits with its parent (`copy_process` in kernel/fork.c).
    let child = unsafe { libc::clone(errand, top.cast(), shared, (&raw mut run).cast()) };
    let child = Errno::result(child).map_err(failed)?;
    // SAFETY: the status is not asked for. It has ended, so that this neither waits nor is interrupted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::__WALL) };
    let pid = run.outcome?;
    // SAFETY: with CLONE_PIDFD a successful clone has made this descriptor in the table we share, for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(run.pidfd) };
    Ok((pid, pidfd))
}

extern "C" fn errand(argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the errand, which nobody else touches until this process has ended.
    let run = unsafe { &mut *argument.cast::<Errand<'_>>() };
    // SAFETY: no memory is involved, and this process has one thread.
    let joined = unsafe { libc::setns(run.users, libc::CLONE_NEWUSER) };
    if joined < 0 {
        run.outcome = Err(SetupError { stage: Stage::Users, errno: Errno::last() });
        return 0;
    }
    let pidfd = &raw mut run.pidfd;
    // SAFETY: as in `process::clone`.
    let pid = unsafe { libc::syscall(libc::SYS_clone, run.flags, 0, pidfd, 0, 0) };
    run.outcome = match pid {
        0 => init::run(run.setup),
        1.. => Ok(pid as libc::pid_t),
        _ => Err(SetupError { stage: Stage::Clone, errno: Errno::last() }),
    };
    0
}
