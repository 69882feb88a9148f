//! The signals by which a user ends a run, caught so that there is time to clear up.
//!
//! Invariant: what runs as a handler makes only async-signal-safe calls (signal-safety(7)). It says which signal came, in a pipe;
//! everything else is done by whoever reads that.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{pipe2, read};

use super::signal::handler_of;

/// Ctrl-C, what `kill` and supervisors send, and a terminal that goes away.
pub const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// A second signal within this time of the first, in nanoseconds, is the first one told twice: timeout(1) sends to its child
/// and then to its child's group, and supervisors send SIGTERM and SIGHUP together.
const SAME: i64 = 100_000_000;

static HANDLER: OnceLock<Handler> = OnceLock::new();
/// When the first signal came, in nanoseconds of the monotonic clock; 0: none has come.
static FIRST: AtomicI64 = AtomicI64::new(0);

#[derive(Debug)]
struct Handler {
    /// The process that reads the pipe; a copy made by `fork` does not.
    pid: libc::pid_t,
    tell: OwnedFd,
}

/// The first of the signals, to be waited for.
#[derive(Debug)]
pub struct Caught(OwnedFd);

/// Catches those of [`SIGNALS`] whose disposition is the default: others are somebody else's, or ignored on purpose (nohup(1)).
/// A second signal ends the process at once.
///
/// Nothing, if they are caught already, or if there is none to catch.
///
/// # Errors
///
/// What `pipe` or `sigaction` says.
pub fn catch() -> io::Result<Option<Caught>> {
    let mut ours = Vec::new();
    for signal in SIGNALS {
        if handler_of(signal as c_int)?.sa_sigaction == libc::SIG_DFL {
            ours.push(signal);
        }
    }
    let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let handler = Handler { pid: nix::unistd::getpid().as_raw(), tell };
    if ours.is_empty() || HANDLER.set(handler).is_err() {
        return Ok(None);
    }
    for signal in ours {
        install(signal)?;
    }
    Ok(Some(Caught(told)))
}

impl Caught {
    /// Waits for the first signal.
    ///
    /// # Errors
    ///
    /// What `read` says, and the end of the pipe, neither of which happens.
    pub fn wait(&self) -> io::Result<Signal> {
        let mut byte = [0];
        loop {
            match read(&self.0, &mut byte) {
                Ok(1) => return Ok(Signal::try_from(c_int::from(byte[0]))?),
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Ends the process by a signal, so that whoever waits for it learns how it ended.
pub fn die_of(signal: Signal) -> ! {
    set_default(signal as c_int);
    let mut only = SigSet::empty();
    only.add(signal);
    // It is delivered before `raise` returns.
    if let Err(errno) = only.thread_unblock().and_then(|()| nix::sys::signal::raise(signal)) {
        eprintln!("netlab: dying of {signal} was refused: {errno}");
    }
    // What a shell makes of that signal.
    super::process::exit_at_once(128 + signal as c_int)
}

fn install(signal: Signal) -> io::Result<()> {
    // SAFETY: an action of zeros is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
    // What the process is doing goes on: it has a while to live.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `on_signal` has the signature of a handler without SA_SIGINFO and keeps to what one may do.
    let result = unsafe { libc::sigaction(signal as c_int, &raw const action, std::ptr::null_mut()) };
    Errno::result(result)?;
    Ok(())
}

fn set_default(signal: c_int) {
    // SAFETY: no memory is involved; the call is async-signal-safe.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Invariant: no allocation, no lock.
extern "C" fn on_signal(signal: c_int) {
    let errno = Errno::last_raw();
    let now = now();
    let first = FIRST.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
    match (HANDLER.get(), first) {
        // SAFETY: no memory is involved.
        (Some(handler), Ok(_)) if handler.pid == unsafe { libc::getpid() } => {
            // The numbers of these signals are small.
            let byte = [signal as u8];
            // SAFETY: the buffer is as long as said. The pipe is empty, so that this neither waits nor fails.
            unsafe { libc::write(handler.tell.as_raw_fd(), byte.as_ptr().cast(), byte.len()) };
        }
        (_, Err(first)) if now - first < SAME => {}
        _ => {
            set_default(signal);
            // Blocked until we return.
            // SAFETY: no memory is involved.
            unsafe { libc::raise(signal) };
        }
    }
    Errno::set_raw(errno);
}

/// The monotonic clock, in nanoseconds; never 0.
fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(clippy::useless_conversion, reason = "these are 32 bits wide on some machines")]
    let nanoseconds = i64::from(time.tv_sec) * 1_000_000_000 + i64::from(time.tv_nsec);
    nanoseconds.max(1)
}
