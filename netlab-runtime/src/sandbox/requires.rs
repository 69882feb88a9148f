//! What a test needs of the machine that no sandbox can give it: a program, a feature of the kernel.

use std::fmt;
use std::path::PathBuf;

use nix::unistd::{AccessFlags, access};

use super::unavailable::Unavailable;
use super::worker;
use crate::settings;

/// Has the test end here as *ignored*, if the machine lacks a feature it needs; gives what the feature was found to be otherwise.
///
/// `found` is an attempt to have it, whose error says what was seen; `remedy` is what a person may do about it. The feature's name
/// is what CI gives to `NETLAB_WITHOUT`, where a machine is known to lack it: under `NETLAB_STRICT` (and so in CI) whatever else
/// cannot run fails.
///
/// The standard harness cannot ignore a test that has begun, and fails it with the same words.
///
/// # Panics
///
/// The feature is lacking, and this is not the process of a test.
///
/// # Teardown
///
/// The process of the test ends at once, from whichever thread this is called, and with it the sandbox: nothing is unwound, and
/// `#[should_panic]` has no say.
#[track_caller]
pub fn requires<T, E: fmt::Display>(feature: &str, found: Result<T, E>, remedy: &str) -> T {
    match found {
        Ok(found) => found,
        Err(error) => {
            worker::cannot_run(Unavailable {
                feature: Some(feature.to_owned()),
                missing: format!("`{feature}`: {error}"),
                remedy: remedy.to_owned(),
            });
        }
    }
}

/// As [`requires`], for a program that is found on the `PATH` of the lab's programs, to which `/usr/local/sbin`, `/usr/sbin` and
/// `/sbin` belong for every user. The feature's name is the program's.
///
/// # Panics
///
/// It is not there, and this is not the process of a test.
#[track_caller]
pub fn requires_program(name: &str) -> PathBuf {
    requires(name, find(name), &format!("install the package that has the program `{name}`"))
}

fn find(name: &str) -> Result<PathBuf, &'static str> {
    let path = settings::variable("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    files
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
        .ok_or("no such program on the PATH")
}
