//! The arguments of a test binary, as `cargo test -- ...` and test runners pass them.

use std::ffi::OsString;
use std::num::NonZeroUsize;

use clap::{Parser, ValueEnum};

use crate::registry::TestDef;

/// Those of the standard harness, so that what people type works here too.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "test",
    disable_version_flag = true,
    args_override_self = true,
    help_template = "Usage: [OPTIONS] [FILTERS]...\n\n{all-args}{after-help}",
    after_help = "Settings of netlab come from the environment: NETLAB_STRICT, NETLAB_TIMEOUT, \
                  NETLAB_TIMEOUT_SCALE, NETLAB_THREADS."
)]
pub(super) struct Arguments {
    /// Run only tests whose names contain one of these
    pub(super) filters: Vec<String>,
    /// Match filters and `--skip` against whole names
    #[arg(long)]
    pub(super) exact: bool,
    /// Leave out tests whose names contain this; may be given several times
    #[arg(long, value_name = "FILTER")]
    pub(super) skip: Vec<String>,
    /// Run only ignored tests
    #[arg(long)]
    pub(super) ignored: bool,
    /// Run ignored tests too
    #[arg(long)]
    pub(super) include_ignored: bool,
    /// Leave out tests that should panic
    #[arg(long)]
    pub(super) exclude_should_panic: bool,
    /// List the tests, and run none
    #[arg(long)]
    pub(super) list: bool,
    /// Let tests write to the terminal, instead of keeping what they write
    #[arg(long = "no-capture", visible_alias = "nocapture")]
    pub(super) no_capture: bool,
    /// Show also what tests wrote that passed
    #[arg(long)]
    pub(super) show_output: bool,
    /// Show how long each test took
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "plain", value_name = "STYLE")]
    pub(super) report_time: Option<String>,
    /// How many tests run at once
    #[arg(long, value_name = "N")]
    pub(super) test_threads: Option<NonZeroUsize>,
    /// One character a test
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// How results are written
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
    /// When to use colours
    #[arg(long, value_enum)]
    pub(super) color: Option<Color>,
    /// Write results to this file
    #[arg(long, value_name = "PATH")]
    pub(super) logfile: Option<String>,
    /// Run tests in random order
    #[arg(long)]
    pub(super) shuffle: bool,
    /// Run tests in the random order that belongs to this number
    #[arg(long, value_name = "SEED")]
    pub(super) shuffle_seed: Option<u64>,
    /// Accepted, since `cargo bench` passes it: what stands in a bench target is meant to run
    #[arg(long)]
    bench: bool,
    /// Accepted for what people type
    #[arg(long)]
    test: bool,
    /// Accepted for what people type
    #[arg(long)]
    ensure_time: bool,
    /// Accepted for what people type; every test is a process
    #[arg(long)]
    force_run_in_process: bool,
    /// Accepted for what people type
    #[arg(short = 'Z', value_name = "FLAG")]
    unstable: Vec<String>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One line a test
    Pretty,
    /// One character a test
    Terse,
    /// One JSON object an event
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal
    Auto,
    /// Ever
    Always,
    /// Never
    Never,
}

impl Arguments {
    /// Reads them, the program's name first.
    ///
    /// # Errors
    ///
    /// They cannot be understood, or help was asked for: [`clap::Error`] tells one from the other.
    pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(arguments)
    }

    /// Whether this test is among those asked for, ignored or not.
    pub(super) fn selects(&self, def: &TestDef) -> bool {
        let name = def.name();
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skip.iter().any(matches)
            && (!self.ignored || def.ignore.is_some())
            && !(self.exclude_should_panic && def.should_panic != crate::registry::ShouldPanic::No)
    }

    /// Whether this test, selected, is to be run.
    pub(super) fn runs(&self, def: &TestDef) -> bool {
        def.ignore.is_none() || self.ignored || self.include_ignored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::read(std::iter::once("test").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn what_people_type_is_understood() {
        for line in [
            "",
            "one two --exact --skip three --skip four",
            "--nocapture",
            "--no-capture --no-capture",
            "--show-output --report-time -Zunstable-options -Z other",
            "--report-time=colored one",
            "--test-threads=1 --test-threads 2 --ignored -q --color never",
            "--list --format terse --ignored",
            "--include-ignored --format=json --logfile x --shuffle --shuffle-seed 7 --bench --test",
            "--exclude-should-panic --ensure-time --force-run-in-process",
        ] {
            read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        assert_eq!(read("one --report-time two").unwrap().filters, ["one", "two"]);
    }

    #[test]
    fn what_nobody_means_is_an_error() {
        for line in ["--nocaptur", "--test-threads 0", "--test-threads many", "--format yaml"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
