//! What did not come to hold, and how it failed last.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::quiet::Panicked;
use crate::error::Error;

/// What was waited for did not come to hold. Its [source](StdError::source) is the last failure; the alternate `Display`
/// (`{:#}`) shows both.
pub struct NotInTime {
    pub(super) limit: Duration,
    pub(super) scale: f64,
    pub(super) tries: u32,
    pub(super) unfinished: bool,
    pub(super) last: Option<Failure>,
}

/// How an attempt failed. Its source is that of the error that the attempt came to.
pub struct Failure(Kind);

enum Kind {
    Error(Error),
    Panic(Panicked),
}

impl NotInTime {
    /// How often it was tried.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// How long it was tried: the deadline, as it is on this machine.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// How it failed the last time; none if not even one attempt came to an end.
    pub fn last(&self) -> Option<&Failure> {
        self.last.as_ref()
    }
}

impl Failure {
    pub(super) fn error(error: Error) -> Self {
        Self(Kind::Error(error))
    }

    pub(super) fn panic(panic: Panicked) -> Self {
        Self(Kind::Panic(panic))
    }

    /// `file:line:column` of the panic, if it was one.
    pub fn location(&self) -> Option<&str> {
        match &self.0 {
            Kind::Error(_) => None,
            Kind::Panic(panic) => panic.location.as_deref(),
        }
    }
}

impl fmt::Display for NotInTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, scale, tries, unfinished, last } = self;
        write!(f, "did not hold within {limit:?}")?;
        if (scale - 1.0).abs() > f64::EPSILON {
            write!(f, " (NETLAB_TIMEOUT_SCALE={scale})")?;
        }
        let times = if *tries == 1 { "once".to_owned() } else { format!("{tries} times") };
        write!(f, ", tried {times}")?;
        if *unfinished {
            f.write_str(if *tries == 1 { ", which did not end" } else { ", the last of which did not end" })?;
        }
        match last {
            Some(last) if f.alternate() => write!(f, ": {last:#}"),
            _ => Ok(()),
        }
    }
}

/// With its cause: this is what a failed `unwrap` shows.
impl fmt::Debug for NotInTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for NotInTime {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.last.as_ref().map(|last| last as _)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Error(error) => fmt::Display::fmt(error, f),
            Kind::Panic(Panicked { message, location }) => {
                f.write_str("panicked")?;
                if let Some(location) = location {
                    write!(f, " at {location}")?;
                }
                match message {
                    Some(message) => write!(f, ": {message}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Kind::Error(error) => error.get_ref().source(),
            Kind::Panic(_) => None,
        }
    }
}
