//! The runner of `netlab::main!()` as a black box: what it says and leaves for each way a test can end.
//!
//! This binary is both sides. Run by cargo it is the rows; a row runs it again with [`FIXTURE`] set, and then it is
//! a binary of netlab tests, most of which fail: that is their task.

mod fixtures;
mod holder;
mod rows;
mod subject;
mod underway;

use std::process::ExitCode;

/// What makes this binary a fixture.
const FIXTURE: &str = "NETLAB_TESTS_FIXTURE";

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
    match std::env::var(FIXTURE).as_deref() {
        Ok("plain") => netlab_runtime::runner::main(false),
        Ok("holder") => holder::run(),
        Ok("live") => netlab_runtime::runner::main(true),
        _ => {
            let arguments = libtest_mimic::Arguments::from_args();
            libtest_mimic::run(&arguments, rows::trials()).exit_code()
        }
    }
}
