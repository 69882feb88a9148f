//! The handle of a running program.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::super::error::Source;
use super::super::{LabError, Node};
use super::Signal;
use super::error::{ProgramError, ProgramErrorKind};
use super::program::Program;
use crate::settings::scaled;

/// A program that runs in a node, started by [`Command::start`](crate::lab::Command::start).
///
/// A clone is another handle to the same program. Dropping handles changes nothing: a program runs until it ends, is ended, or
/// its test is over.
///
/// A program that ends while its test goes on is told of on the test's output at once, and fails the test, unless the test has
/// asked for it ([`terminate`](Self::terminate), [`kill`](Self::kill), a [`signal`](Self::signal) that asks for the end),
/// waits for it or looks at its [`status`](Self::status), now or later, or has allowed it
/// ([`Command::may_exit`](crate::lab::Command::may_exit)).
///
/// Signals go to the whole process group, of which the program is the leader: its workers get them, too.
///
/// All limits of time are scaled by `NETLAB_TIMEOUT_SCALE`.
#[derive(Clone)]
pub struct Process {
    node: Node,
    name: String,
    program: Arc<Program>,
}

impl Process {
    pub(super) fn new(node: Node, name: String, program: Arc<Program>) -> Self {
        Self { node, name, program }
    }

    /// What the test's output and the log call it by: the program's file name unless set, with a number behind from the
    /// second of that name in a node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it runs.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Its process id, in the sandbox.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// The file that has what it wrote, standard output and standard error, in whole lines. Past 8 MiB the older part is in
    /// a file beside it, with `.old` behind, and what is still older is gone.
    pub fn log_path(&self) -> PathBuf {
        self.program.said().log
    }

    /// What it wrote up to now; see [`log_path`](Self::log_path).
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn log(&self) -> Result<String, LabError> {
        self.program.drain();
        let path = self.log_path();
        let text = fs::read(&path).map_err(|error| {
            LabError::io(format!("{}: its log `{}`", self.program.what(), path.display()), error)
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// How it ended, if it has. To look is to know of it: an end seen here is not held against the test.
    pub fn status(&self) -> Option<ExitStatus> {
        self.program.look_for_the_end();
        let status = self.program.ended();
        if status.is_some() {
            self.program.let_end();
        }
        status
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        !self.program.look_for_the_end()
    }

    /// Sends a signal to it and all of its process group.
    ///
    /// After `TERM`, `INT`, `QUIT`, `ABRT` and `KILL` its end is no surprise; after others it is.
    ///
    /// By hand: `kill -SIGNAL -- -PID`.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), ProgramError> {
        if self.program.look_for_the_end()
            && let Some(status) = self.program.ended()
        {
            return Err(self.program.error(ProgramErrorKind::Ended(status)));
        }
        self.send(signal)
    }

    /// Kills it and all of its process group (`KILL`). One that has ended stays so.
    ///
    /// # Errors
    ///
    /// The system refused.
    pub fn kill(&self) -> Result<(), ProgramError> {
        self.send(Signal::KILL)
    }

    /// Stops it where it is (`STOP`), and all of its process group: sockets stay open, nobody answers. See
    /// [`cont`](Self::cont).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn stop(&self) -> Result<(), ProgramError> {
        self.signal(Signal::STOP)
    }

    /// Has it go on (`CONT`) after [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn cont(&self) -> Result<(), ProgramError> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end (`TERM`, and `CONT` in case that it is stopped), waits that long, and kills what is left of its process
    /// group then.
    ///
    /// Gives how it ended: killed, if it did not heed.
    ///
    /// # Errors
    ///
    /// The system refused.
    pub async fn terminate(&self, grace: Duration) -> Result<ExitStatus, ProgramError> {
        let waiting = self.program.wait();
        self.ask_to_end()?;
        let in_time = tokio::time::timeout(scaled(grace), waiting.end()).await;
        // Of the group, some may be left when the leader has ended.
        self.send(Signal::KILL)?;
        match in_time {
            Ok(status) => Ok(status),
            Err(_late) => Ok(waiting.end().await),
        }
    }

    /// As [`terminate`](Self::terminate), blocking the calling thread.
    ///
    /// # Errors
    ///
    /// As [`terminate`](Self::terminate).
    pub fn terminate_blocking(&self, grace: Duration) -> Result<ExitStatus, ProgramError> {
        let waiting = self.program.wait();
        self.ask_to_end()?;
        let in_time = waiting.end_blocking(Instant::now().checked_add(scaled(grace)));
        self.send(Signal::KILL)?;
        let status = in_time.or_else(|| waiting.end_blocking(None));
        Ok(status.expect("without a deadline, the wait is for the end"))
    }

    /// Waits until it ends by itself, at most that long, and gives how. All it wrote is in the log then.
    ///
    /// # Errors
    ///
    /// It runs still. Ending otherwise than with success is none: see [`wait_success`](Self::wait_success).
    pub async fn wait(&self, deadline: Duration) -> Result<ExitStatus, ProgramError> {
        let after = scaled(deadline);
        let waiting = self.program.wait();
        let ended = tokio::time::timeout(after, waiting.end()).await;
        ended.map_err(|_late| self.program.error(ProgramErrorKind::StillRunning { after }))
    }

    /// As [`wait`](Self::wait), blocking the calling thread.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_blocking(&self, deadline: Duration) -> Result<ExitStatus, ProgramError> {
        let after = scaled(deadline);
        let ended = self.program.wait().end_blocking(Instant::now().checked_add(after));
        ended.ok_or_else(|| self.program.error(ProgramErrorKind::StillRunning { after }))
    }

    /// As [`wait`](Self::wait), for a program that is to succeed.
    ///
    /// # Errors
    ///
    /// It runs still, or has ended otherwise than with success; shows the last it wrote.
    pub async fn wait_success(&self, deadline: Duration) -> Result<(), ProgramError> {
        self.succeeded(self.wait(deadline).await?)
    }

    /// As [`wait_success`](Self::wait_success), blocking the calling thread.
    ///
    /// # Errors
    ///
    /// As [`wait_success`](Self::wait_success).
    pub fn wait_success_blocking(&self, deadline: Duration) -> Result<(), ProgramError> {
        self.succeeded(self.wait_blocking(deadline)?)
    }

    fn succeeded(&self, status: ExitStatus) -> Result<(), ProgramError> {
        if status.success() { Ok(()) } else { Err(self.program.error(ProgramErrorKind::Failed(status))) }
    }

    fn ask_to_end(&self) -> Result<(), ProgramError> {
        self.send(Signal::TERM)?;
        // One that was stopped hears nothing before it goes on.
        self.send(Signal::CONT)
    }

    fn send(&self, signal: Signal) -> Result<(), ProgramError> {
        match self.program.signal(signal) {
            // It and all of its group are gone.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => {
                let error = self.program.error(ProgramErrorKind::System);
                let what = format!("{}: `kill -{signal} -- -{}`", error.what, self.pid());
                Err(ProgramError { what, source: Some(Source(errno.into())), ..error })
            }
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({} {}, pid {})", self.node.name(), self.name, self.pid())
    }
}
