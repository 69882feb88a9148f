//! How much of everything there may be, and how many nodes that allows.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use super::check::{Check, Group};

/// A lab with this many nodes is large; the limits are judged by it.
const LARGE: u64 = 1000;
/// A namespace and its netlink socket for each node, and some for the test.
const DESCRIPTORS: u64 = 2 * LARGE + 1024;
/// The few that any lab needs.
const SMALL: u64 = 64;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![descriptors()];
    for (limit, of, needed) in [
        ("max_net_namespaces", "one for each node and each switch", LARGE),
        ("max_mnt_namespaces", "one for each node in which a program was started", LARGE),
        ("max_uts_namespaces", "likewise", LARGE),
        ("max_pid_namespaces", "one for each test", SMALL),
        ("max_ipc_namespaces", "likewise", SMALL),
    ] {
        checks.extend(namespaces(limit, of, needed));
    }
    checks.extend(["ipv4", "ipv6"].into_iter().filter_map(neighbours));
    checks
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn descriptors() -> Check {
    const WHY: &str = "two for each node; netlab raises the soft limit itself";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) => {
            let found = format!("{soft}, up to {}", shown(hard));
            if hard >= DESCRIPTORS {
                return Check::ok(Group::Limits, "open descriptors", WHY).found(found);
            }
            let mend =
                format!("raise the hard limit: `* hard nofile {DESCRIPTORS}` in /etc/security/limits.conf");
            Check::missing(Group::Limits, "open descriptors", WHY, mend).found(found)
        }
        Err(errno) => Check::note(Group::Limits, "open descriptors", WHY).found(errno.to_string()),
    }
}

/// Some limits are as good as none.
fn shown(limit: u64) -> String {
    if limit >= u64::from(u32::MAX) { "no limit".to_owned() } else { limit.to_string() }
}

fn namespaces(limit: &str, of: &str, needed: u64) -> Option<Check> {
    let found = number(&format!("/proc/sys/user/{limit}"))?;
    let name = format!("user.{limit}");
    let check = if found >= needed {
        Check::ok(Group::Limits, &name, of)
    } else {
        Check::missing(Group::Limits, &name, of, format!("sudo sysctl -w {name}={}", 10 * LARGE))
    };
    Some(check.found(shown(found)))
}

/// One table for all network namespaces of the machine; past `gc_thresh3` no neighbour is taken up, and pings fail
/// with "no buffer space available" (`neigh_alloc` in net/core/neighbour.c).
fn neighbours(family: &str) -> Option<Check> {
    const WHY: &str = "neighbours that all labs together may know";
    let key = format!("net.{family}.neigh.default.gc_thresh3");
    let name = format!("{family} neighbours");
    // Visible in the first network namespace only.
    let found = number(&format!("/proc/sys/{}", key.replace('.', "/")))?;
    let check = if found >= LARGE {
        Check::ok(Group::Limits, name, WHY)
    } else {
        Check::missing(Group::Limits, name, WHY, format!("sudo sysctl -w {key}={}", 16 * LARGE))
    };
    Some(check.found(found.to_string()))
}
