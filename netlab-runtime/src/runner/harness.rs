//! The harness of `netlab::main!()`: libtest-mimic, with what it lacks.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{ColorSetting, Completion, Failed, FormatSetting, Trial};

use super::arguments::{Arguments, Color, Format};
use super::ignored::Ignored;
use super::interrupt;
use super::lanes::{Lane, Lanes};
use super::{single, survivors};
use crate::registry::{TESTS, TestDef};
use crate::sandbox::{Harness, Outcome, Run, Worker, raise_descriptor_limit};
use crate::settings::{self, Settings};

/// The exit code of the standard harness when anything failed.
const FAILED: u8 = 101;

/// Runs the tests of this binary as its arguments say; in a worker, the one test it was started for.
///
/// `live` shows output as it is written and runs one test at a time, as an example run by hand does.
pub fn main(live: bool) -> ExitCode {
    if let Some(worker) = Worker::here() {
        match TESTS.iter().find(|def| def.path == worker.path()) {
            Some(def) => worker.run(def),
            None => worker.unknown(),
        }
    }
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            if let Err(error) = error.print() {
                eprintln!("{error}");
            }
            return if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
        }
    };
    match tests() {
        Ok(tests) if arguments.list => list(&arguments, &tests),
        Ok(tests) => run(arguments, &tests, live),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(FAILED)
        }
    }
}

/// All tests, in the order of their names.
fn tests() -> Result<Vec<&'static TestDef>, String> {
    let mut tests: Vec<&'static TestDef> = TESTS.iter().collect();
    tests.sort_by_key(|def| (def.name(), def.path));
    let twice = tests.windows(2).find(|pair| pair[0].name() == pair[1].name());
    match twice {
        Some([one, other]) => Err(format!(
            "two tests are named `{}`: {}:{} and {}:{}; rename one",
            one.name(),
            one.file,
            one.line,
            other.file,
            other.line
        )),
        _ => Ok(tests),
    }
}

/// Prints names, and nothing else.
fn list(arguments: &Arguments, tests: &[&'static TestDef]) -> ExitCode {
    let named = |def: &&'static TestDef| Trial::test(def.name(), || Ok(()));
    let trials = tests.iter().filter(|def| arguments.selects(def)).map(named).collect();
    let mimic = libtest_mimic::Arguments { list: true, ..mimic(arguments) };
    libtest_mimic::run(&mimic, trials).exit_code()
}

fn run(mut arguments: Arguments, tests: &[&'static TestDef], live: bool) -> ExitCode {
    let settings = match settings::get() {
        Ok(settings) => settings,
        Err(wrong) => {
            eprintln!("error: {wrong}");
            return ExitCode::from(FAILED);
        }
    };
    if let Err(errno) = raise_descriptor_limit() {
        eprintln!("netlab: the limit of open descriptors stays as it is: {errno}");
    }
    interrupt::watch();
    arguments.no_capture |= live || settings.live;
    let threads = if live { std::num::NonZeroUsize::new(1) } else { settings.threads };
    arguments.test_threads = arguments.test_threads.or(threads);

    let mut tests = tests.to_vec();
    shuffle(&arguments, &mut tests);
    let unselected: Vec<_> =
        tests.iter().filter(|def| !arguments.selects(def)).map(|def| def.name().to_owned()).collect();
    let one_by_one = at_once(&arguments) == 1;
    let arguments = Arc::new(arguments);
    let told = Arc::new(Told::default());
    let mut lanes = Lanes::default();
    let (mut trials, mut last) = (Vec::new(), Vec::new());
    for def in tests {
        let run = {
            let arguments = Arc::clone(&arguments);
            move || single::run(def, Harness::Own, arguments.no_capture, settings)
        };
        let runs = arguments.selects(def) && arguments.runs(def);
        let lane = Lane::of(def).filter(|_| runs && !one_by_one);
        let (run, trials): (Box<dyn FnOnce() -> Option<Run> + Send>, _) = match lane {
            Some(lane) => {
                let coming = lanes.add(lane, run);
                (Box::new(|| coming.wait()), &mut last)
            }
            None => (Box::new(move || Some(run())), &mut trials),
        };
        trials.push(trial(def, run, Arc::clone(&arguments), settings, Arc::clone(&told)));
    }
    trials.append(&mut last);
    let lanes = match lanes.start() {
        Ok(lanes) => lanes,
        Err(error) => {
            eprintln!("error: no thread for the tests that wait for a lock: {error}");
            return ExitCode::from(FAILED);
        }
    };
    // The selection is made here, since libtest-mimic knows but one filter; it counts what it is told to skip.
    let mimic = libtest_mimic::Arguments { skip: unselected, exact: true, ..mimic(&arguments) };
    let conclusion = libtest_mimic::run(&mimic, trials);
    for lane in lanes {
        // Its tests have told what came of them; there is nothing else it could fail with.
        drop(lane.join());
    }
    if let Err(error) = told.print(&arguments) {
        eprintln!("netlab: the output of tests could not be shown: {error}");
    }
    if survivors::told() { ExitCode::from(FAILED) } else { conclusion.exit_code() }
}

/// How many tests run at once, as libtest-mimic will count.
fn at_once(arguments: &Arguments) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, Into::into);
    arguments.test_threads.map_or_else(processors, Into::into)
}

fn mimic(arguments: &Arguments) -> libtest_mimic::Arguments {
    libtest_mimic::Arguments {
        include_ignored: true,
        quiet: arguments.quiet,
        format: arguments.format.map(|format| match format {
            Format::Pretty => FormatSetting::Pretty,
            Format::Terse => FormatSetting::Terse,
            Format::Json => FormatSetting::Json,
        }),
        color: arguments.color.map(|color| match color {
            Color::Auto => ColorSetting::Auto,
            Color::Always => ColorSetting::Always,
            Color::Never => ColorSetting::Never,
        }),
        logfile: arguments.logfile.clone(),
        test_threads: arguments.test_threads.map(Into::into),
        ..libtest_mimic::Arguments::default()
    }
}

/// A test as libtest-mimic knows it; `run` runs it, or waits for the lane that does.
fn trial(
    def: &'static TestDef,
    run: Box<dyn FnOnce() -> Option<Run> + Send>,
    arguments: Arc<Arguments>,
    settings: &'static Settings,
    told: Arc<Told>,
) -> Trial {
    Trial::ignorable_test(def.name(), move || {
        if !arguments.runs(def) {
            told.ignored.marked();
            let reason = def.ignore.filter(|reason| !reason.is_empty()).map(ToOwned::to_owned);
            return Ok(Completion::Ignored { reason });
        }
        if arguments.no_capture && arguments.format != Some(Format::Json) {
            // What the test writes begins on a line of its own, below its name.
            println!();
        }
        let Some(run) = run() else { return Err("netlab: the runner failed; see its panic above".into()) };
        told.remember(def, &arguments, &run);
        match run.outcome {
            Outcome::Passed => Ok(Completion::Completed),
            Outcome::Failed(failure) => Err(message(&run.output.text(), &failure.to_string())),
            Outcome::Unavailable(why) if why.fails(settings) => Err(message(
                &run.output.text(),
                &format!("cannot run here, and must (NETLAB_STRICT or CI is set): {why}"),
            )),
            Outcome::Unavailable(why) => {
                told.ignored.unavailable(&why);
                Ok(Completion::ignored_with(why))
            }
        }
    })
}

/// What the test wrote, then why it failed.
fn message(output: &str, failure: &str) -> Failed {
    let output = output.trim_end();
    let between = if output.is_empty() { "" } else { "\n\n" };
    format!("{output}{between}netlab: {failure}").into()
}

/// What is shown of tests beyond libtest-mimic's lines.
#[derive(Debug, Default)]
struct Told {
    outputs: Mutex<BTreeMap<&'static str, String>>,
    times: Mutex<BTreeMap<&'static str, Duration>>,
    ignored: Ignored,
}

impl Told {
    fn remember(&self, def: &TestDef, arguments: &Arguments, run: &Run) {
        if arguments.report_time.is_some() {
            self.times.lock().unwrap_or_else(PoisonError::into_inner).insert(def.name(), run.elapsed);
        }
        if arguments.show_output && run.outcome == Outcome::Passed && !run.output.is_empty() {
            self.outputs.lock().unwrap_or_else(PoisonError::into_inner).insert(def.name(), run.output.text());
        }
    }

    fn print(&self, arguments: &Arguments) -> io::Result<()> {
        use io::Write;
        // Objects on lines of their own are all that belongs in that format.
        if arguments.format == Some(Format::Json) {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if !outputs.is_empty() {
            writeln!(out, "successes:\n")?;
            for (name, output) in &*outputs {
                writeln!(out, "---- {name} stdout ----\n{}\n", output.trim_end())?;
            }
        }
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if !times.is_empty() {
            writeln!(out, "times:")?;
            for (name, time) in &*times {
                writeln!(out, "    {:>9.3}s {name}", time.as_secs_f64())?;
            }
            writeln!(out)?;
        }
        if let Some(summary) = self.ignored.summary() {
            writeln!(out, "{summary}\n")?;
        }
        out.flush()
    }
}

/// Puts tests in the order of a seed, which is printed so that the order can be had again.
fn shuffle(arguments: &Arguments, tests: &mut [&'static TestDef]) {
    let seed = match (arguments.shuffle_seed, arguments.shuffle) {
        (Some(seed), _) => seed,
        (None, false) => return,
        (None, true) => {
            // Different from one run to the next, and no more than that.
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
        }
    };
    eprintln!("netlab: tests in the order of --shuffle-seed {seed}");
    let mut state = seed;
    for index in (1..tests.len()).rev() {
        tests.swap(index, (next(&mut state) % (index as u64 + 1)) as usize);
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
