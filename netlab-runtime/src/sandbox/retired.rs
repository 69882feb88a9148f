//! The namespaces of finished labs, which the runner holds for a while.
//!
//! The kernel's destruction of a bridge stalls whatever builds at the same time (`br_multicast_dev_del` waits for all
//! RCU callbacks with the `rtnl` lock held), and a batch does so for each of its bridges. So namespaces are kept until the
//! run ends, or until there are too many to keep. They have no name anywhere: when the runner dies, so do they.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::launch::Run;
use super::outcome::{Failure, Outcome};
use super::survivors::{self, Held, Survivor};

static RETIRED: Mutex<Retired> = Mutex::new(Retired {
    labs: 0,
    held: Vec::new(),
    due: None,
    told: BTreeSet::new(),
    untold: BTreeSet::new(),
});

struct Retired {
    labs: usize,
    held: Vec<Held>,
    /// When the next search for survivors may be; none: at once.
    due: Option<Instant>,
    /// Survivors that their tests have failed with.
    told: BTreeSet<Survivor>,
    /// Those of tests whose results were out by then.
    untold: BTreeSet<Survivor>,
}

fn retired() -> MutexGuard<'static, Retired> {
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many times as long as it took a search is waited for after it, so that searching takes no more than this part of the
/// time. On machines with few processes every test has its own.
const SHARE: u32 = 20;

/// Descriptors enough for large labs, and few enough not to slow programs that close every possible one.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit of open descriptors as far as the hard one allows, or as far as is of use: a lab takes
/// one for each node, and the runner holds those of finished labs.
///
/// # Errors
///
/// What `setrlimit` says.
pub fn raise_descriptor_limit() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = soft.max(hard.min(ENOUGH));
    if wanted != soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(wanted)
}

/// Namespaces enough to hold: each takes some 325 KiB of the kernel's memory.
const MOST: usize = 1024;

impl Run {
    /// Sees to what is left of the sandbox, once everything that the test did is undone: its namespaces are held on, and let go when
    /// there are `batch` labs of them, or too many, or a quarter of the descriptors is taken. Whether anything survives is
    /// looked up now and then, at the latest when they are let go or the run ends; a survivor fails the test, or the run if the
    /// test has a result already.
    pub fn settle(&mut self, batch: usize) {
        let held = std::mem::take(&mut self.held);
        let Some(test) = held.first().map(Held::test) else { return };
        let survivors: Vec<_> = settle(held, batch).into_iter().filter(|one| one.test == test).collect();
        if survivors.is_empty() {
            return;
        }
        let failure = Failure::LeftBehind(survivors);
        if self.outcome == Outcome::Passed {
            self.outcome = Outcome::Failed(failure);
        } else {
            self.output.push(format!("\nnetlab: {failure}\n").as_bytes());
        }
    }
}

/// Adds a lab to those held; gives the survivors, if it was time to look for them.
fn settle(lab: Vec<Held>, batch: usize) -> Vec<Survivor> {
    let mut retired = retired();
    let test = lab.first().map(Held::test);
    retired.labs += 1;
    retired.held.extend(lab);
    let held = retired.held.len();
    let full = retired.labs >= batch || held >= MOST || held as u64 * 4 >= limit();
    if !full && retired.due.is_some_and(|due| Instant::now() < due) {
        return Vec::new();
    }
    // The search is made without the lock: whoever finishes meanwhile has only its own to look for.
    let mut taken = std::mem::take(&mut retired.held);
    let labs = std::mem::take(&mut retired.labs);
    drop(retired);
    let started = Instant::now();
    let survivors = survivors::find(&taken);
    let due = Instant::now().checked_add(started.elapsed().saturating_mul(SHARE));

    let mut retired = self::retired();
    retired.due = due;
    if !full {
        taken.retain(Held::is_network);
        retired.labs += labs;
        retired.held.append(&mut taken);
    }
    let (told, untold) = survivors.iter().cloned().partition::<Vec<_>, _>(|one| Some(one.test) == test);
    retired.told.extend(told);
    retired.untold.extend(untold);
    drop(retired);
    drop(taken);
    survivors
}

/// What is still there of finished labs, other than what their tests have failed with. To be asked when no test is running.
pub fn survivors_at_the_end() -> Vec<Survivor> {
    let mut retired = retired();
    let found = survivors::find(&retired.held);
    let mut untold = std::mem::take(&mut retired.untold);
    untold.extend(found);
    untold.difference(&retired.told).cloned().collect()
}

/// The soft limit; if it cannot be known, what every system allows.
fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::unistd::pipe;
    use std::os::fd::{AsFd, OwnedFd};

    fn is_let_go(held: &OwnedFd) -> bool {
        poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
    }

    fn lab(fd: OwnedFd) -> Vec<Held> {
        vec![Held::network("a test", "a", fd).unwrap()]
    }

    #[test]
    fn they_are_held_until_there_are_enough_and_let_go_together() {
        let (first, namespace) = pipe().unwrap();
        settle(lab(namespace), 2);
        assert!(!is_let_go(&first));
        let (second, namespace) = pipe().unwrap();
        settle(lab(namespace), 2);
        assert!(is_let_go(&first) && is_let_go(&second));
        let (third, namespace) = pipe().unwrap();
        settle(lab(namespace), 0);
        assert!(is_let_go(&third));
    }
}
