//! Errors at every step of a build, from the real kernel's side of the call.
//!
//! The fixture runs under a seccomp filter that asks the cell about each call a lab is built with (seccomp_unotify(2)). The cell
//! refuses the k-th, and lets all others pass.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::subject::{self, Harness, Ran, Subject, pidfd, run_with};

/// Where a fixture has the descriptor that stands for its filter.
const LISTENER: i32 = 200;
/// More steps than the fixture's lab takes.
const MOST: usize = 200;

/// The calls that make namespaces, interfaces, addresses, routes and rules.
const CALLS: [libc::c_long; 3] = [libc::SYS_unshare, libc::SYS_sendmsg, libc::SYS_sendto];

/// Runs the fixture with each call of its build refused in turn, until there is none left; `check` looks at what is there after each.
pub fn at_every_step(subject: Subject<'_>, check: &mut dyn FnMut()) {
    let failed = if subject.harness == Harness::Nextest { 100 } else { 101 };
    let mut refused = 0;
    for step in 0..MOST {
        let ran = refusing(subject, step);
        check();
        if ran.status.code() == Some(0) {
            // Fewer calls than that are made, or nothing depends on this one.
            let all = refusing(subject, MOST);
            assert_eq!(all.status.code(), Some(0), "with no call refused: {all}");
            assert!(refused >= 8, "{refused} calls were refused: {ran}");
            return;
        }
        assert_eq!(ran.status.code(), Some(failed), "call {step}: {ran}");
        refused += usize::from(ran.says("the lab could not be built: "));
    }
    panic!("more than {MOST} calls");
}

/// Runs the fixture with one call refused.
fn refusing(subject: Subject<'_>, step: usize) -> Ran {
    let mut command = subject.command("does_nothing");
    filter(&mut command);
    run_with(command, |runner| answer(runner, step))
}

/// Puts the filter on a command.
fn filter(command: &mut Command) {
    let jump = |call: libc::c_long, to: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: to,
        jf: 0,
        k: call as u32,
    };
    let plain = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let [one, two, three] = CALLS;
    let program = [
        // The call's number is the first field of `seccomp_data`.
        plain(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump(one, 3),
        jump(two, 2),
        jump(three, 1),
        plain(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        plain(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
    ];
    let install = move || {
        let mut program = program;
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: no memory is involved.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        // SAFETY: the program outlives the call, which copies it.
        let listener = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                &raw const filter,
            )
        };
        let listener = Errno::result(listener)?;
        // Without close-on-exec.
        // SAFETY: no memory is involved.
        Errno::result(unsafe { libc::dup2(listener as i32, LISTENER) })?;
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(install) };
}

/// Answers for the kernel until nobody is left who could ask.
fn answer(runner: Pid, step: usize) {
    let process = pidfd(runner);
    // SAFETY: no memory is involved.
    let listener = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), LISTENER, 0) };
    let listener = Errno::result(listener).expect("it was put there before the program was executed");
    // SAFETY: the call has just made this descriptor, for us.
    let listener = unsafe { OwnedFd::from_raw_fd(i32::try_from(listener).expect("a descriptor")) };
    let mut asked = 0;
    loop {
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).expect("poll is not interrupted");
        if !fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN)) {
            // The last process with the filter is gone.
            return;
        }
        let Some(question) = receive(&listener) else { continue };
        // Those of the runner, and of nextest, build nothing.
        let builds = subject::is_a_worker(question.pid);
        let refuse = builds && asked == step;
        asked += usize::from(builds);
        send(&listener, question.id, refuse);
    }
}

/// The next question; nothing, if whoever asked is gone.
fn receive(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    // _IOWR('!', 0, struct seccomp_notif), linux/seccomp.h
    const RECEIVE: libc::c_ulong = 0xc050_2100;
    // SAFETY: a structure of integers, for which zero is valid, and which the call wants to be zero.
    let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one such structure.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut question) };
    Errno::result(result).is_ok().then_some(question)
}

/// Refuses a call, or lets it take its course. Whoever asked may be gone, which is as well.
fn send(listener: &OwnedFd, id: u64, refuse: bool) {
    // _IOWR('!', 1, struct seccomp_notif_resp), linux/seccomp.h
    const SEND: libc::c_ulong = 0xc018_2101;
    let (error, flags) =
        if refuse { (-libc::EPERM, 0) } else { (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32) };
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the request reads one such structure.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut answer) };
    assert!(matches!(Errno::result(result), Ok(_) | Err(Errno::ENOENT)), "{}", Errno::last());
}
