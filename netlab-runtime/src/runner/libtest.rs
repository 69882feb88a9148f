//! The standard harness: what the `#[test]` function that the attribute emits calls.

use std::sync::Once;

use super::{interrupt, single, survivors};
use crate::registry::TestDef;
use crate::sandbox::{Harness, Outcome, Worker, raise_descriptor_limit};
use crate::settings;

/// Runs a test: in a worker its body, otherwise in a sandbox of its own, where this binary is run again.
///
/// The standard harness cannot ignore a test at run time; one that cannot run here fails, with the reason.
///
/// # Panics
///
/// If the test fails; what it wrote and why it failed has been printed by then.
pub fn run(def: &'static TestDef) {
    if let Some(worker) = Worker::here() {
        if worker.path() == def.path {
            worker.run(def);
        }
        worker.unknown();
    }
    let settings = match settings::get() {
        Ok(settings) => settings,
        Err(wrong) => fail(wrong),
    };
    static LIMIT: Once = Once::new();
    LIMIT.call_once(|| {
        if let Err(errno) = raise_descriptor_limit() {
            eprintln!("netlab: the limit of open descriptors stays as it is: {errno}");
        }
    });
    interrupt::watch();
    survivors::look_at_exit();
    let live = settings.live || std::env::args().any(|arg| arg == "--nocapture" || arg == "--no-capture");
    let run = single::run(def, Harness::Standard, live, settings);
    if !run.output.is_empty() {
        // Through the harness's own capture, which shows or drops it as it was told.
        print!("{}", run.output.text());
    }
    match run.outcome {
        Outcome::Passed => {}
        Outcome::Failed(failure) => fail(&failure.to_string()),
        Outcome::Unavailable(why) => fail(&format!("cannot run here: {why}")),
    }
}

/// Says why, and fails the test without the panic hook's words and backtrace, which would be about this function.
fn fail(why: &str) -> ! {
    println!("\nnetlab: {why}");
    std::panic::resume_unwind(Box::new(why.to_owned()))
}
