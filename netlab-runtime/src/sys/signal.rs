//! What a crash signal leaves behind: its name, its address, and a backtrace on standard error.
//!
//! The handler itself only collects addresses. Their names are found by a thread that waits for that from the
//! start and has a stack of its own: so it neither needs the crashed thread's stack nor hangs on a lock which
//! that thread holds, and the handler's patience with it is bounded.

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// The signals that mean a crash.
const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];
/// The most frames of a backtrace.
const FRAMES: usize = 96;
/// How long the crashed thread waits for the names of its frames, in milliseconds.
const PATIENCE: c_int = 10_000;
/// Bytes of an alternate stack: unwinding takes more than the few KiB that the standard library gives its threads.
const STACK: usize = 128 * 1024;

static ADDRESSES: [AtomicUsize; FRAMES] = [const { AtomicUsize::new(0) }; FRAMES];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static CRASHED: AtomicBool = AtomicBool::new(false);
static HANDLER: OnceLock<Handler> = OnceLock::new();

struct Handler {
    /// The process that has the helper thread; a copy made by `fork` has not.
    pid: libc::pid_t,
    /// The handlers that were there before, in the order of [`SIGNALS`].
    before: [libc::sigaction; SIGNALS.len()],
    /// Whether a backtrace is wanted.
    backtrace: bool,
    /// Written to by the crashed thread.
    ask: OwnedFd,
    /// Closed by the helper when it has written everything.
    done: OwnedFd,
}

/// Makes crash signals explain themselves on standard error before they take their usual course.
///
/// The calling thread gets an alternate stack on which there is room for that; see [`alternate_stack`].
///
/// # Errors
///
/// What `pipe`, the creation of a thread, `sigaction` or `sigaltstack` says.
pub fn explain_crashes(backtrace: bool) -> io::Result<()> {
    let (asked, ask) = pipe2(OFlag::O_CLOEXEC)?;
    let (done, finished) = pipe2(OFlag::O_CLOEXEC)?;
    let mut before = Vec::with_capacity(SIGNALS.len());
    for signal in SIGNALS {
        before.push(handler_of(signal)?);
    }
    let before = before.try_into().map_err(|_more| Errno::EINVAL)?;
    let handler = Handler { pid: nix::unistd::getpid().as_raw(), before, backtrace, ask, done };
    if HANDLER.set(handler).is_err() {
        return Ok(());
    }
    if backtrace {
        std::thread::Builder::new().name("netlab-crash".to_owned()).spawn(move || help(asked, finished))?;
    }
    alternate_stack()?;
    for signal in SIGNALS {
        install(signal)?;
    }
    Ok(())
}

/// Leaves the next crash without explanation, because what led to it has been told.
pub fn keep_quiet() {
    CRASHED.store(true, Ordering::SeqCst);
}

/// Gives the calling thread an alternate stack with room for a backtrace. It is never given back.
///
/// # Errors
///
/// What `sigaltstack` says.
pub fn alternate_stack() -> io::Result<()> {
    let memory = Box::leak(vec![0_u8; STACK].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
    // SAFETY: the memory was leaked, so that it outlives the thread, and is used for nothing else.
    let result = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    Errno::result(result)?;
    Ok(())
}

pub(super) fn handler_of(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = std::mem::MaybeUninit::uninit();
    // SAFETY: the action is written to a local.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    Errno::result(result)?;
    // SAFETY: the call succeeded and has written it.
    Ok(unsafe { action.assume_init() })
}

fn install(signal: c_int) -> io::Result<()> {
    // SAFETY: an action of zeros is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_crash as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `on_crash` has the signature that SA_SIGINFO promises and keeps to what a handler may do.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    Errno::result(result)?;
    Ok(())
}

/// Invariant: no allocation, no lock.
extern "C" fn on_crash(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(handler) = HANDLER.get() else { return };
    // The standard library's handler goes first: it knows a stack overflow, says so, and aborts.
    let raised = chain(handler, signal, info, context);
    // One report is enough: a fault in here, or the abort after a stack overflow, adds nothing.
    if !CRASHED.swap(true, Ordering::SeqCst) {
        report(handler, signal, address_of(signal, info));
    }
    set_default(signal);
    if raised {
        // It was sent, not caused by an instruction that would now fault again. Blocked until we return.
        // SAFETY: no memory is involved.
        unsafe { libc::raise(signal) };
    }
}

/// Calls the handler that was there before; says whether the signal was sent rather than caused by a fault.
fn chain(handler: &Handler, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid pointer.
    let sent = unsafe { (*info).si_code } <= 0;
    let before = SIGNALS.iter().zip(&handler.before).find(|&(&other, _)| other == signal);
    if let Some((_, before)) = before
        && before.sa_sigaction != libc::SIG_DFL
        && before.sa_sigaction != libc::SIG_IGN
        && before.sa_flags & libc::SA_SIGINFO != 0
    {
        // SAFETY: with SA_SIGINFO the value is a function of this signature.
        let function = unsafe {
            std::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                before.sa_sigaction,
            )
        };
        function(signal, info, context);
    }
    sent
}

fn address_of(signal: c_int, info: *mut libc::siginfo_t) -> Option<usize> {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid pointer.
    let info = unsafe { info.as_ref() }?;
    // Only a fault of the hardware has an address.
    if info.si_code <= 0 || signal == libc::SIGABRT {
        return None;
    }
    // SAFETY: such a signal carries an address.
    Some(unsafe { info.si_addr() } as usize)
}

fn report(handler: &Handler, signal: c_int, address: Option<usize>) {
    let mut line = Line::default();
    line.push(b"\nsignal ");
    line.push(name(signal).as_bytes());
    line.push(b" (");
    line.push(meaning(signal).as_bytes());
    line.push(b")");
    if let Some(address) = address {
        line.push(b" at address 0x");
        line.push_hex(address);
    }
    line.push(b"\n");
    line.write();
    // SAFETY: no memory is involved.
    let pid = unsafe { libc::getpid() };
    if !handler.backtrace || pid != handler.pid {
        return;
    }
    let collect = |frame: &backtrace::Frame| {
        let count = COUNT.load(Ordering::SeqCst);
        if let Some(slot) = ADDRESSES.get(count) {
            slot.store(frame.ip() as usize, Ordering::SeqCst);
            COUNT.store(count + 1, Ordering::SeqCst);
        }
        count + 1 < FRAMES
    };
    // SAFETY: what is not synchronized is the resolving of names, which does not happen here.
    unsafe { backtrace::trace_unsynchronized(collect) };
    // SAFETY: one byte of a constant.
    let asked = unsafe { libc::write(handler.ask.as_raw_fd(), b"!".as_ptr().cast(), 1) };
    if asked == 1 {
        wait_readable(handler.done.as_raw_fd(), PATIENCE);
    }
}

fn wait_readable(fd: RawFd, milliseconds: c_int) {
    let mut fds = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
    // SAFETY: the array is as long as said. Whatever comes of it, the handler goes on.
    unsafe { libc::poll(fds.as_mut_ptr(), 1, milliseconds) };
}

fn set_default(signal: c_int) {
    // SAFETY: an action of zeros is the default one.
    let action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the action is valid, the old one is not asked for.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
}

/// The helper thread: waits to be asked, and writes the backtrace.
fn help(asked: OwnedFd, finished: OwnedFd) {
    let mut byte = [0];
    if std::fs::File::from(asked).read(&mut byte).is_ok_and(|length| length == 1) {
        // Standard error may be closed, and then there is no one to tell.
        drop(write_backtrace());
    }
    drop(finished);
}

fn write_backtrace() -> io::Result<()> {
    let count = COUNT.load(Ordering::SeqCst).min(FRAMES);
    let frames: Vec<Frame> =
        ADDRESSES[..count].iter().map(|address| Frame::of(address.load(Ordering::SeqCst))).collect();
    // What stands above the kernel's trampoline is this handler.
    let own = frames.iter().rposition(|frame| frame.has("signal::on_crash")).map_or(0, |index| index + 1);
    let trampoline = frames.get(own).is_some_and(Frame::is_trampoline);
    let mut text = Vec::new();
    writeln!(text, "stack backtrace:")?;
    for (number, frame) in frames.iter().skip(own + usize::from(trampoline)).enumerate() {
        if frame.has("__rust_begin_short_backtrace") {
            break;
        }
        frame.write(number, &mut text)?;
    }
    if count == FRAMES {
        writeln!(text, "  ... (the first {FRAMES} frames)")?;
    }
    // Not `io::stderr`: the crashed thread may hold its lock.
    let mut rest = &text[..];
    while !rest.is_empty() {
        // SAFETY: the buffer is as long as said.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        rest = &rest[Errno::result(written)?.unsigned_abs()..];
    }
    Ok(())
}

/// A frame, and the functions inlined into it.
struct Frame {
    address: usize,
    symbols: Vec<(String, Option<String>)>,
}

impl Frame {
    fn of(address: usize) -> Self {
        let mut symbols = Vec::new();
        // The address is where the call returns to: the call itself is before it.
        backtrace::resolve((address.saturating_sub(1)) as *mut c_void, |symbol| {
            let place = symbol.filename().zip(symbol.lineno());
            symbols.push((
                symbol.name().map_or_else(|| "<unknown>".to_owned(), |name| format!("{name:#}")),
                place.map(|(file, line)| format!("{}:{line}", file.display())),
            ));
        });
        Self { address, symbols }
    }

    fn has(&self, part: &str) -> bool {
        self.symbols.iter().any(|(name, _)| name.contains(part))
    }

    fn is_trampoline(&self) -> bool {
        self.symbols.is_empty() || self.has("restore_rt")
    }

    fn write(&self, number: usize, text: &mut Vec<u8>) -> io::Result<()> {
        if self.symbols.is_empty() {
            writeln!(text, "{number:4}: {:#x}", self.address)?;
        }
        for (name, place) in &self.symbols {
            writeln!(text, "{number:4}: {name}")?;
            if let Some(place) = place {
                writeln!(text, "             at {place}")?;
            }
        }
        Ok(())
    }
}

/// A line made without the allocator.
struct Line {
    bytes: [u8; 128],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 128], length: 0 }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = byte;
                self.length += 1;
            }
        }
    }

    fn push_hex(&mut self, value: usize) {
        let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let nibble = (value >> (4 * digit) & 0xf) as u8;
            self.push(&[if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }]);
        }
    }

    fn write(&self) {
        // SAFETY: the buffer holds at least this much. That nobody reads any more changes nothing.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.length) };
    }
}

/// A signal's name, as in signal(7).
pub fn name(signal: i32) -> &'static str {
    nix::sys::signal::Signal::try_from(signal)
        .map_or("a signal without a name", nix::sys::signal::Signal::as_str)
}

/// What a crash signal means, in words.
pub fn meaning(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "segmentation fault",
        libc::SIGBUS => "bus error",
        libc::SIGILL => "illegal instruction",
        libc::SIGFPE => "arithmetic exception",
        libc::SIGABRT => "abort",
        libc::SIGKILL => "killed",
        libc::SIGTERM => "terminated",
        libc::SIGINT => "interrupted",
        libc::SIGPIPE => "broken pipe",
        libc::SIGSYS => "bad system call",
        _ => "signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_in_full() {
        for value in [0, 1, 0xf, 0x10, 0xdead_beef, usize::MAX] {
            let mut line = Line::default();
            line.push_hex(value);
            assert_eq!(String::from_utf8_lossy(&line.bytes[..line.length]), format!("{value:x}"));
        }
    }
}
