//! What became of a test, and how that reads.

use std::fmt;
use std::time::Duration;

use super::launch::Limit;
use super::report::Report;
use super::survivors::Survivor;
use super::unavailable::Unavailable;
use crate::registry::ShouldPanic;
use crate::sys::process::{Ended, SetupError};
use crate::sys::signal;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Passed,
    /// It did not.
    Failed(Failure),
    /// It cannot run here.
    Unavailable(Unavailable),
}

/// Why a test failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It returned this error.
    Error(String),
    /// It panicked.
    Panicked {
        /// The message, if it was text.
        message: Option<String>,
        /// `file:line:column`, if known.
        location: Option<String>,
    },
    /// It was to panic, and returned.
    DidNotPanic {
        /// The error it returned instead, if it did return one.
        error: Option<String>,
    },
    /// It was to panic with other words.
    PanickedOtherwise {
        /// What it said, if it was text.
        message: Option<String>,
        /// What it should have said.
        expected: &'static str,
    },
    /// It ended its process before it returned.
    Exited(i32),
    /// A signal ended its process before it returned.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// Its sandbox was killed from outside.
    KilledFromOutside,
    /// It was not done in time.
    TimedOut(Limit),
    /// Its topology is wrong.
    Topology(String),
    /// Its lab could not be built.
    Build(String),
    /// Its sandbox could not be made.
    Sandbox(String),
    /// What it did to the machine's own network could not all be undone.
    NotUndone {
        /// What is left, and why.
        left: Vec<String>,
        /// What it failed with besides.
        besides: Option<Box<Failure>>,
    },
    /// Something of it is still there, although it passed.
    LeftBehind(Vec<Survivor>),
}

impl Outcome {
    /// The outcome of a test after which this is left on the machine.
    pub(crate) fn with_left(self, left: Vec<String>) -> Self {
        match self {
            outcome if left.is_empty() => outcome,
            Self::Failed(failure) => {
                Self::Failed(Failure::NotUndone { left, besides: Some(Box::new(failure)) })
            }
            Self::Passed | Self::Unavailable(_) => Self::Failed(Failure::NotUndone { left, besides: None }),
        }
    }

    /// The outcome of a worker that ended by itself.
    pub(super) fn of(
        report: Option<Report>,
        ended: Result<Ended, SetupError>,
        should_panic: ShouldPanic,
    ) -> Self {
        let failure = match (report, ended) {
            // Once the body is done, nothing that happens to the process changes what it came to.
            (Some(report), _) => return Self::of_report(report, should_panic),
            (None, Err(error)) => return Self::of_setup(error),
            (None, Ok(Ended::Exited(code))) => Failure::Exited(code),
            (None, Ok(Ended::Killed { signal, core_dumped })) => Failure::Killed { signal, core_dumped },
            (None, Ok(Ended::WithInit)) => Failure::KilledFromOutside,
        };
        Self::Failed(failure)
    }

    /// The outcome of a sandbox that could not be made.
    pub(super) fn of_setup(error: SetupError) -> Self {
        Unavailable::explain(error).map_or_else(
            || Self::Failed(Failure::Sandbox(format!("the sandbox could not be made: {error}"))),
            Self::Unavailable,
        )
    }

    fn of_report(report: Report, should_panic: ShouldPanic) -> Self {
        let failure = match (report, should_panic) {
            (Report::Unavailable(why), _) => return Self::Unavailable(why),
            (Report::Returned, ShouldPanic::No) | (Report::Panicked { .. }, ShouldPanic::Yes) => {
                return Self::Passed;
            }
            (Report::Panicked { message: Some(message), .. }, ShouldPanic::With(expected))
                if message.contains(expected) =>
            {
                return Self::Passed;
            }
            (Report::Panicked { message, .. }, ShouldPanic::With(expected)) => {
                Failure::PanickedOtherwise { message, expected }
            }
            (Report::Returned, _) => Failure::DidNotPanic { error: None },
            (Report::Error(text), ShouldPanic::No) => Failure::Error(text),
            (Report::Error(text), _) => Failure::DidNotPanic { error: Some(text) },
            (Report::Panicked { message, location }, ShouldPanic::No) => {
                Failure::Panicked { message, location }
            }
            (Report::Topology(text), _) => Failure::Topology(text),
            (Report::Build(text), _) => Failure::Build(text),
            (Report::Sandbox(text), _) => Failure::Sandbox(text),
            // The runner has the test run again, as what it is; if that comes to this, there is no sense in a third time.
            (Report::Machine { .. }, _) => Failure::Topology(
                "computed again, it differs in what it wants of the machine's own network; it must be the same each time"
                    .to_owned(),
            ),
        };
        Self::Failed(failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) => write!(f, "returned an error: {text}"),
            Self::Panicked { message, location } => {
                write!(f, "panicked")?;
                if let Some(location) = location {
                    write!(f, " at {location}")?;
                }
                match message {
                    Some(message) => write!(f, ": {}", beginning(message)),
                    None => write!(f, " with something that is not text"),
                }
            }
            Self::DidNotPanic { error: None } => write!(f, "test did not panic as expected"),
            Self::DidNotPanic { error: Some(error) } => {
                write!(f, "test did not panic as expected, but returned an error: {error}")
            }
            Self::PanickedOtherwise { message: Some(message), expected } => write!(
                f,
                "panic did not contain expected string\n      panic message: {message:?}\n \
                 expected substring: {expected:?}"
            ),
            Self::PanickedOtherwise { message: None, expected } => {
                write!(f, "expected panic with string value\n expected substring: {expected:?}")
            }
            Self::Exited(code) => write!(f, "exited with code {code} before it returned"),
            Self::Killed { signal, core_dumped } => {
                let core = if *core_dumped { ", core dumped" } else { "" };
                write!(f, "killed by {} ({}{core})", signal::name(*signal), signal::meaning(*signal))
            }
            Self::KilledFromOutside => {
                write!(f, "killed from outside: the first process of its sandbox ended")
            }
            Self::TimedOut(limit) => write!(f, "timed out after {limit}"),
            Self::Topology(text) => write!(f, "wrong topology\n{text}"),
            Self::Build(text) => write!(f, "the lab could not be built: {text}"),
            Self::Sandbox(text) => f.write_str(text),
            Self::NotUndone { left, besides } => {
                if let Some(failure) = besides {
                    write!(f, "{failure}\nnetlab: ")?;
                }
                write!(f, "not everything that was changed on the machine could be undone:")?;
                left.iter().try_for_each(|left| write!(f, "\n    {left}"))
            }
            Self::LeftBehind(survivors) => {
                write!(f, "left something behind:")?;
                survivors.iter().try_for_each(|survivor| write!(f, "\n    {survivor}"))
            }
        }
    }
}

/// The first line of a panic's message, up to a length: the whole of it is in the output, where the panic wrote it.
fn beginning(message: &str) -> String {
    const MOST: usize = 200;
    let line = message.lines().next().unwrap_or("");
    let mut short: String = line.chars().take(MOST).collect();
    if short.len() < message.trim_end().len() {
        short.push_str(" ...");
    }
    short
}

/// A duration as a person would write it: `10s`, `1.5s`, `250ms`.
pub(crate) fn human(duration: Duration) -> String {
    if duration.as_secs() == 0 {
        return format!("{}ms", duration.as_millis());
    }
    let seconds = format!("{:.3}", duration.as_secs_f64());
    format!("{}s", seconds.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked(message: Option<&str>) -> Report {
        Report::Panicked { message: message.map(str::to_owned), location: None }
    }

    fn judged(report: Report, should_panic: ShouldPanic) -> String {
        match Outcome::of(Some(report), Ok(Ended::Exited(0)), should_panic) {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(failure) => failure.to_string(),
            Outcome::Unavailable(_) => "unavailable".to_owned(),
        }
    }

    #[test]
    fn should_panic_is_judged_as_libtest_does() {
        use ShouldPanic::{No, With, Yes};
        assert_eq!(judged(Report::Returned, No), "passed");
        assert_eq!(judged(panicked(Some("oh")), Yes), "passed");
        assert_eq!(judged(panicked(None), Yes), "passed");
        assert_eq!(judged(panicked(Some("oh dear")), With("dear")), "passed");
        assert!(judged(panicked(Some("oh")), With("dear")).starts_with("panic did not contain"));
        assert!(judged(panicked(None), With("dear")).starts_with("expected panic with string value"));
        assert_eq!(judged(Report::Returned, Yes), "test did not panic as expected");
        assert_eq!(judged(Report::Returned, With("x")), "test did not panic as expected");
        assert!(judged(Report::Error("e".to_owned()), Yes).contains("returned an error: e"));
        assert_eq!(judged(Report::Error("e".to_owned()), No), "returned an error: e");
        assert_eq!(judged(panicked(Some("oh")), No), "panicked: oh");
    }

    #[test]
    fn of_a_long_panic_message_the_beginning_is_repeated() {
        let long = "x".repeat(201);
        assert_eq!(beginning("assertion failed\n  left: 1\n"), "assertion failed ...");
        assert_eq!(beginning(&long), format!("{} ...", &long[1..]));
        assert_eq!(beginning("on purpose\n"), "on purpose");
    }

    #[test]
    fn what_could_not_be_undone_fails_a_test_and_hides_nothing() {
        let left = || vec!["`lan`: somebody else changed it".to_owned()];
        assert_eq!(Outcome::Passed.with_left(Vec::new()), Outcome::Passed);
        let Outcome::Failed(failure) = Outcome::Passed.with_left(left()) else { panic!("it passed") };
        assert!(failure.to_string().ends_with("undone:\n    `lan`: somebody else changed it"), "{failure}");
        let Outcome::Failed(both) = Outcome::Failed(Failure::Exited(3)).with_left(left()) else { panic!() };
        assert!(both.to_string().starts_with("exited with code 3 before it returned\nnetlab: not"), "{both}");
    }

    #[test]
    fn only_a_panic_is_a_panic() {
        for ended in [Ended::Exited(0), Ended::Exited(101), Ended::Killed { signal: 6, core_dumped: false }] {
            assert!(matches!(Outcome::of(None, Ok(ended), ShouldPanic::Yes), Outcome::Failed(_)));
        }
    }

    #[test]
    fn durations_read_well() {
        let read = |milliseconds| human(Duration::from_millis(milliseconds));
        assert_eq!([read(250), read(1500), read(10_000), read(60_000)], ["250ms", "1.5s", "10s", "60s"]);
    }
}
