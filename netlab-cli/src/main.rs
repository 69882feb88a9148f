//! `cargo netlab`: looks at the machine, and never at a test.
//!
//! Invariant: this crate only presents; what it shows is found by the runtime.

#![forbid(unsafe_code)]

mod doctor;
mod gc;
mod ps;
mod text;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks after labs: whether they can run on this machine, which do, and what dead runs left.
#[derive(Debug, Parser)]
#[command(name = "cargo netlab", bin_name = "cargo netlab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says what this machine can do for labs, and what mends what is missing.
    ///
    /// Everything is tried, in a sandbox, rather than guessed; nothing is changed.
    /// Exit status: 0 if labs can run, 1 if not, 2 for wrong arguments.
    Doctor(doctor::Arguments),
    /// Lists the labs that are alive: whose, since when, and of which test binary.
    ///
    /// One's own; as root, everybody's. Exit status: 0.
    Ps(ps::Arguments),
    /// Undoes what dead runs left on the machine's own network.
    ///
    /// Only labs joined to it (`host real`, `port=`, `dev=`, `nic()`) can leave anything, and only if both runner and sandbox were
    /// killed; the next such test undoes it as well. A living run is never touched, nor an object that somebody else has changed since.
    /// Exit status: 0 if nothing is left of dead runs, 1 if something could not be undone or the machine is in use, 2 for wrong
    /// arguments.
    Gc(gc::Arguments),
}

fn main() -> ExitCode {
    // The doctor's sandbox executes this program again.
    netlab::cli::doctor::run_worker();
    let arguments = Arguments::parse_from(without_cargos_own(std::env::args_os()));
    let done = match &arguments.command {
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Ps(arguments) => ps::run(arguments),
        Command::Gc(arguments) => gc::run(arguments),
    };
    match done {
        Ok(code) => code,
        // Who reads no further, as `head` does, has what it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo netlab X` starts `cargo-netlab netlab X`; by itself it is `cargo-netlab X`.
fn without_cargos_own(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments
        .enumerate()
        .filter(|(index, argument)| *index != 1 || argument != "netlab")
        .map(|(_, argument)| argument)
}
