//! One running program: its streams, its end, and what is known of both.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, read};
use tokio::sync::watch;

use super::Signal;
use super::error::{ProgramError, ProgramErrorKind, Said};
use super::hint::hint;
use super::log::{Log, Partial};
use super::unasked;
use crate::log::{Topic, tell};

/// A program, shared by its handles and the thread that watches it.
///
/// Invariant: it is not reaped before nobody holds it, so that its process id, and with it its process group, means no one
/// else.
#[derive(Debug)]
pub(in crate::lab) struct Program {
    /// ``node `web1`: `nginx -g ...` ``.
    what: String,
    pid: Pid,
    pidfd: OwnedFd,
    state: Mutex<State>,
    /// Told of every change of the state.
    changed: Condvar,
    end: watch::Sender<Option<ExitStatus>>,
}

#[derive(Debug)]
struct State {
    log: Log,
    streams: [Option<(OwnedFd, Partial)>; 2],
    notify: Option<UnixDatagram>,
    notified: Notified,
    ended: Option<ExitStatus>,
    /// Whether its end surprises nobody.
    may_end: bool,
    /// Whether its end was told of as a surprise.
    told: bool,
    /// How many wait for its end.
    waiting: usize,
    /// Counts what has happened, for those who look for something and then wait.
    changes: u64,
}

/// What a program has said of itself by sd_notify(3).
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Notified {
    pub(in crate::lab) ready: bool,
    pub(in crate::lab) status: Option<String>,
}

/// Something of a program that becomes readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Output(usize),
    Notify,
    End,
}

impl Source {
    pub(super) const ALL: [Self; 4] = [Self::Output(0), Self::Output(1), Self::Notify, Self::End];
}

impl Program {
    pub(super) fn new(
        what: String,
        pid: u32,
        pidfd: OwnedFd,
        log: Log,
        streams: [Option<OwnedFd>; 2],
        notify: Option<UnixDatagram>,
    ) -> Self {
        let state = State {
            log,
            streams: streams.map(|stream| Some((stream?, Partial::default()))),
            notify,
            notified: Notified::default(),
            ended: None,
            may_end: false,
            told: false,
            waiting: 0,
            changes: 0,
        };
        Self {
            what,
            pid: Pid::from_raw(pid.cast_signed()),
            pidfd,
            state: Mutex::new(state),
            changed: Condvar::new(),
            end: watch::Sender::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(in crate::lab) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Does `with` what a source is read from, if it is still there.
    pub(super) fn with_source<T>(&self, source: Source, with: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let state = self.lock();
        match source {
            Source::Output(index) => state.streams[index].as_ref().map(|(fd, _)| with(fd.as_fd())),
            Source::Notify => state.notify.as_ref().map(|socket| with(socket.as_fd())),
            Source::End => Some(with(self.pidfd.as_fd())),
        }
    }

    /// Reads what has come from a source. False when there will be no more.
    pub(super) fn read(self: &Arc<Self>, source: Source) -> bool {
        let more = match source {
            Source::Output(index) => self.lock().read(index),
            Source::Notify => self.lock().read_notifications(),
            Source::End => !self.look_for_the_end(),
        };
        self.lock().changes += 1;
        self.changed.notify_all();
        more
    }

    /// Whether it has ended, and nobody holds its streams.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.ended.is_some() && state.streams.iter().all(Option::is_none)
    }

    /// Whether it has ended, with all that it wrote before.
    pub(super) fn look_for_the_end(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        if state.ended.is_some() {
            return true;
        }
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            Ok(WaitStatus::Exited(_, code)) => ExitStatus::from_raw((code & 0xff) << 8),
            Ok(WaitStatus::Signaled(_, signal, core)) => {
                ExitStatus::from_raw(signal as i32 | if core { 0x80 } else { 0 })
            }
            Ok(_) | Err(Errno::EINTR) => return false,
            // Somebody else has waited for any child of this process, and how it ended is lost with that.
            Err(_) => ExitStatus::from_raw(0xff << 8),
        };
        state.drain();
        state.ended = Some(status);
        state.changes += 1;
        drop(state);
        tell(Topic::Programs, format_args!("{}: ended ({status})", self.what));
        self.tell_if_unasked();
        self.end.send_replace(Some(status));
        self.changed.notify_all();
        true
    }

    /// Tells of its end, if it has ended unasked.
    pub(super) fn tell_if_unasked(self: &Arc<Self>) {
        let mut state = self.lock();
        if let Some(status) = state.ended
            && !(state.may_end || state.told || state.waiting > 0)
        {
            state.told = true;
            // With the lock: whoever finds it told of can rely on its having been.
            unasked::tell(self, status);
        }
    }

    /// Reads all that is there to be read.
    pub(super) fn drain(&self) {
        self.lock().drain();
    }

    /// Reads all that is there to be read, and takes it for all there will be.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.drain();
        let State { streams, log, .. } = &mut *state;
        for (_, partial) in streams.iter_mut().flatten() {
            show(&log.finish(partial));
        }
    }

    pub(super) fn ended(&self) -> Option<ExitStatus> {
        self.lock().ended
    }

    /// From here on its end is no surprise.
    pub(super) fn let_end(&self) {
        self.lock().may_end = true;
    }

    pub(super) fn may_end(&self) -> bool {
        self.lock().may_end
    }

    pub(in crate::lab) fn has_logged(&self, pattern: &str) -> bool {
        self.lock().log.has_matched(pattern)
    }

    pub(in crate::lab) fn last_line(&self) -> Option<String> {
        self.lock().log.tail().next_back().map(str::to_owned)
    }

    pub(in crate::lab) fn notified(&self) -> Notified {
        self.lock().notified.clone()
    }

    pub(super) fn said(&self) -> Said {
        let state = self.lock();
        Said { log: state.log.path().to_owned(), last: state.log.tail().map(str::to_owned).collect() }
    }

    pub(super) fn error(&self, kind: ProgramErrorKind) -> ProgramError {
        let said = self.said();
        let hint = hint(&kind, &said.last);
        ProgramError { what: self.what.clone(), kind, said: Some(Box::new(said)), hint, source: None }
    }

    /// Sends a signal to the whole process group.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        tell(Topic::Programs, format_args!("{}: `kill -{signal} -- -{}`", self.what, self.pid));
        if signal.asks_for_the_end() {
            self.let_end();
        }
        match killpg(self.pid, signal.known()) {
            // It has made itself, or was made, the member of another group.
            Err(Errno::ESRCH) => nix::sys::signal::kill(self.pid, signal.known()),
            result => result,
        }
    }

    /// Counts the caller among those who wait for the end, who are told of it by that alone.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.lock().waiting += 1;
        Waiting(self)
    }

    /// How much has happened so far.
    pub(in crate::lab) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Waits until more has happened than that, at most until then.
    pub(in crate::lab) fn wait_for_change(&self, seen: u64, until: Instant) {
        let mut state = self.lock();
        while state.changes == seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Somebody who waits for the end of a program.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Program);

impl Waiting<'_> {
    pub(super) async fn end(&self) -> ExitStatus {
        let mut receiver = self.0.end.subscribe();
        let status = match receiver.wait_for(Option::is_some).await {
            Ok(status) => *status,
            // The sender is the program's own, which is borrowed.
            Err(_closed) => self.0.ended(),
        };
        self.0.let_end();
        status.expect("the wait was for it")
    }

    /// None if it has not ended by then.
    pub(super) fn end_blocking(&self, deadline: Option<Instant>) -> Option<ExitStatus> {
        let mut state = self.0.lock();
        loop {
            if let Some(status) = state.ended {
                state.may_end = true;
                return Some(status);
            }
            state = match deadline {
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl State {
    /// Reads a stream until it has no more for now. False at its end.
    fn read(&mut self, index: usize) -> bool {
        let Self { streams, log, .. } = self;
        let Some((fd, partial)) = &mut streams[index] else { return false };
        let mut buffer = [0; 16 * 1024];
        loop {
            let shown = match read(&*fd, &mut buffer) {
                Ok(length @ 1..) => log.take(partial, &buffer[..length]),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return true,
                Ok(0) | Err(_) => {
                    show(&log.finish(partial));
                    streams[index] = None;
                    return false;
                }
            };
            show(&shown);
        }
    }

    fn drain(&mut self) {
        for index in 0..self.streams.len() {
            self.read(index);
        }
        self.read_notifications();
    }

    /// Reads messages of sd_notify(3): lines of `NAME=value`.
    fn read_notifications(&mut self) -> bool {
        let Some(socket) = &self.notify else { return false };
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            for line in String::from_utf8_lossy(&buffer[..length]).lines() {
                match line.split_once('=') {
                    Some(("READY", "1")) => self.notified.ready = true,
                    Some(("STATUS", status)) => self.notified.status = Some(status.to_owned()),
                    _ => {}
                }
            }
        }
        true
    }
}

/// Shows whole lines on the test's output, at once.
fn show(lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(lines).and_then(|()| stdout.flush()) {
        // It is in the log.
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| eprintln!("netlab: what programs write cannot be shown: {error}"));
    }
}

/// Lets the process id go.
impl Drop for Program {
    fn drop(&mut self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            // Somebody who waits for any child was first.
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(errno) => eprintln!("netlab: {} cannot be reaped: {errno}", self.what),
        }
    }
}
