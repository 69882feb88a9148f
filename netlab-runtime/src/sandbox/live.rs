//! The sandboxes that live at this moment, so that all can be ended at once.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::process;

static SANDBOXES: Mutex<Sandboxes> =
    Mutex::new(Sandboxes { ending: false, next: 0, pidfds: BTreeMap::new() });

struct Sandboxes {
    /// No sandbox is to live any more.
    ending: bool,
    next: u64,
    pidfds: BTreeMap<u64, OwnedFd>,
}

fn sandboxes() -> MutexGuard<'static, Sandboxes> {
    SANDBOXES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sandbox's place among those that live, until it is dropped.
#[derive(Debug)]
pub(super) struct Live(u64);

impl Live {
    /// Adds a sandbox; at once ends it, if all are to end.
    ///
    /// # Errors
    ///
    /// The process may open no more descriptors.
    pub(super) fn enter(pidfd: BorrowedFd<'_>) -> io::Result<Self> {
        let pidfd = pidfd.try_clone_to_owned()?;
        let mut sandboxes = sandboxes();
        if sandboxes.ending {
            process::kill(pidfd.as_fd());
        }
        let number = sandboxes.next;
        sandboxes.next += 1;
        sandboxes.pidfds.insert(number, pidfd);
        Ok(Self(number))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        sandboxes().pidfds.remove(&self.0);
    }
}

/// Kills every process of every sandbox, and of those that are still to come. Who launched one sees its end.
pub fn end_all() {
    let mut sandboxes = sandboxes();
    sandboxes.ending = true;
    for pidfd in sandboxes.pidfds.values() {
        process::kill(pidfd.as_fd());
    }
}
