//! What goes wrong with a program.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::super::error::Source;
use crate::sandbox::human;

/// How many of the last lines of a log an error shows.
const SHOWN: usize = 20;

/// A program that could not be started, was not ready, or did not end as it should. Its message ends with the last lines
/// of the program's log, and with what mends it where these tell (`hint: ...`).
pub struct ProgramError {
    pub(super) what: String,
    pub(super) kind: ProgramErrorKind,
    pub(super) said: Option<Box<Said>>,
    pub(super) hint: Option<String>,
    pub(super) source: Option<Source>,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramErrorKind {
    /// It could not be started; the source says why.
    NotStarted,
    /// It ended before it was ready.
    EndedEarly {
        /// How it ended.
        status: ExitStatus,
        /// What it was to do first, and what was seen instead.
        seen: String,
    },
    /// It was not ready in time, and was killed.
    NotReady {
        /// How long it had.
        within: Duration,
        /// What was seen instead.
        seen: String,
    },
    /// It has ended otherwise than with success.
    Failed(ExitStatus),
    /// It had not ended in time, and runs on.
    StillRunning {
        /// How long it had.
        after: Duration,
    },
    /// It has ended, so there is nothing to signal.
    Ended(ExitStatus),
    /// Something else the system said, which is the source.
    System,
}

/// What a program had to say.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) log: PathBuf,
    pub(super) last: Vec<String>,
}

impl ProgramError {
    pub(in crate::lab) fn not_started(what: String, error: io::Error) -> Self {
        Self { what, kind: ProgramErrorKind::NotStarted, said: None, hint: None, source: Some(Source(error)) }
    }

    /// Why.
    pub fn kind(&self) -> &ProgramErrorKind {
        &self.kind
    }

    /// How the program ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        match self.kind {
            ProgramErrorKind::EndedEarly { status, .. }
            | ProgramErrorKind::Failed(status)
            | ProgramErrorKind::Ended(status) => Some(status),
            _ => None,
        }
    }

    /// The last lines of the program's log, oldest first.
    pub fn last_lines(&self) -> &[String] {
        self.said.as_ref().map_or(&[], |said| &said.last)
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match &self.kind {
            ProgramErrorKind::NotStarted => write!(f, "{what} could not be started")?,
            ProgramErrorKind::EndedEarly { status, seen } => {
                write!(f, "{what} ended before it was ready ({status}): {seen}")?;
            }
            ProgramErrorKind::NotReady { within, seen } => {
                write!(f, "{what} was not ready within {}: {seen}", human(*within))?;
            }
            ProgramErrorKind::Failed(status) => write!(f, "{what} failed: {status}")?,
            ProgramErrorKind::StillRunning { after } => {
                write!(f, "{what} had not ended after {}", human(*after))?;
            }
            ProgramErrorKind::Ended(status) => write!(f, "{what} has ended ({status})")?,
            ProgramErrorKind::System => f.write_str(what)?,
        }
        if let Some(source) = &self.source
            && f.alternate()
        {
            write!(f, ": {source}")?;
        }
        self.said.as_ref().map_or(Ok(()), |said| write!(f, "\n{said}"))?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  {hint}"))
    }
}

/// With its cause: this is what a failed `unwrap` shows.
impl fmt::Debug for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for ProgramError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.display();
        if self.last.is_empty() {
            return write!(f, "  it wrote nothing (its log is `{log}`)");
        }
        let skipped = self.last.len().saturating_sub(SHOWN);
        write!(f, "  the last it wrote (its log is `{log}`):")?;
        if skipped > 0 {
            write!(f, "\n    ...")?;
        }
        self.last[skipped..].iter().try_for_each(|line| write!(f, "\n    | {line}"))
    }
}
