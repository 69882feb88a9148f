//! The namespaces of finished labs, which the runner holds for a while.
//!
//! The kernel's destruction of a bridge stalls whatever builds at the same time (`br_multicast_dev_del` waits for all
//! RCU callbacks with the `rtnl` lock held), and a batch does so for each of its bridges. So namespaces are kept until the
//! run ends, or until there are too many to keep. They have no name anywhere: when the runner dies, so do they.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

static RETIRED: Mutex<Retired> = Mutex::new(Retired { labs: 0, namespaces: Vec::new() });

struct Retired {
    labs: usize,
    namespaces: Vec<OwnedFd>,
}

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

/// Holds a lab's namespaces until there are `batch` labs of them, or too many, or a quarter of the descriptors is taken.
pub(super) fn hold(namespaces: Vec<OwnedFd>, batch: usize) {
    if namespaces.is_empty() {
        return;
    }
    let mut retired = RETIRED.lock().unwrap_or_else(PoisonError::into_inner);
    retired.labs += 1;
    retired.namespaces.extend(namespaces);
    let held = retired.namespaces.len();
    if retired.labs >= batch || held >= MOST || held as u64 * 4 >= limit() {
        retired.labs = 0;
        let finished = std::mem::take(&mut retired.namespaces);
        drop(retired);
        drop(finished);
    }
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
    use std::os::fd::AsFd;

    fn is_let_go(held: &OwnedFd) -> bool {
        poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn they_are_held_until_there_are_enough_and_let_go_together() {
        let (first, namespace) = pipe().unwrap();
        hold(vec![namespace], 2);
        assert!(!is_let_go(&first));
        let (second, namespace) = pipe().unwrap();
        hold(vec![namespace], 2);
        assert!(is_let_go(&first) && is_let_go(&second));
        let (third, namespace) = pipe().unwrap();
        hold(vec![namespace], 0);
        assert!(is_let_go(&third));
    }
}
