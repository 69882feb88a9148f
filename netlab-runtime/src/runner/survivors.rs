//! The last look of a run: whether anything of its tests is still there.

use std::io::{self, Write};
use std::sync::Once;

use crate::sandbox::{Survivor, survivors_at_the_end};
use crate::sys::process;

/// The exit code of the standard harness when anything failed.
const FAILED: i32 = 101;

/// Says what is still there of tests whose results are out; whether there is anything.
pub(super) fn told() -> bool {
    let survivors = survivors_at_the_end();
    if survivors.is_empty() {
        return false;
    }
    // Where standard error is closed, the exit code has to do.
    drop(io::stderr().write_all(text(&survivors).as_bytes()));
    true
}

/// Has the process look when it exits, and fail: the standard harness has no end of its own to do so at.
pub(super) fn look_at_exit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !process::at_exit(look) {
            eprintln!("netlab: what tests leave behind may go unnoticed: `atexit` was refused");
        }
    });
}

fn look() {
    if told() {
        process::flush_c_streams();
        process::exit_at_once(FAILED);
    }
}

fn text(survivors: &[Survivor]) -> String {
    let mut text = "\nnetlab: FAILED: something of finished tests is still there:\n".to_owned();
    for survivor in survivors {
        text.push_str(&format!("    `{}`: {survivor}\n", survivor.test));
    }
    text
}
