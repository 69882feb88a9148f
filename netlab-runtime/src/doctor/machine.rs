//! Rights: what the kernel, its security modules and the container leave this process.

use std::fs;

use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use super::check::{Check, Group};
use crate::sandbox::{self, Unavailable};
use crate::sys::process;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![users(), machine()];
    checks.extend([capabilities(), user_namespaces(), apparmor(), seccomp(), no_new_privileges(), proc()]);
    checks
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// A field of `/proc/self/status`.
fn status(field: &str) -> Option<String> {
    let text = read("/proc/self/status")?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
}

pub(super) fn kernel() -> Check {
    const WHY: &str = "netlab needs Linux 5.9 (`close_range`)";
    let release = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    let check = if at_least(&release, (5, 9)) {
        Check::ok(Group::Labs, "kernel", WHY)
    } else {
        Check::missing(Group::Labs, "kernel", WHY, "a newer kernel")
    };
    check.found(format!("Linux {release}")).needed()
}

/// Whether a release such as `6.1.0-18-amd64` is at least this one. What cannot be read is: the lab says more.
fn at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= wanted,
        _ => true,
    }
}

/// Whether sandboxes have more than one user.
fn users() -> Check {
    const WHY: &str = "daemons that drop privileges (`setuid`, `chown`) fail where a sandbox has one user";
    let (group, name) = (Group::Labs, "users in a sandbox");
    if process::may_administer() {
        return Check::ok(group, name, WHY).found("all: no user namespace is made");
    }
    match sandbox::probe_users() {
        Ok(ranges) => Check::ok(group, name, WHY).found(format!("{}, by `newuidmap`", ranges.count())),
        Err(Unavailable { missing, remedy, .. }) => {
            Check::missing(group, name, WHY, remedy).found(format!("one, root: {missing}"))
        }
    }
}

fn machine() -> Check {
    const WHY: &str = "labs joined to the machine's own network (`host real`, `port=`, `dev=`, `nic()`)";
    match sandbox::may_change_the_machine() {
        Ok(()) => Check::ok(Group::Labs, "the machine's network", WHY).found("may be changed"),
        Err(Unavailable { missing, remedy, .. }) => {
            Check::missing(Group::Labs, "the machine's network", WHY, remedy).found(missing)
        }
    }
}

fn capabilities() -> Check {
    const WHY: &str = "root with CAP_SYS_ADMIN makes no user namespace, and needs CAP_NET_ADMIN as well";
    let (group, name) = (Group::Rights, "capabilities");
    let set = status("CapEff").unwrap_or_default();
    let found = match (process::may_administer(), process::may_administer_networks()) {
        (_, true) => format!("{set}, CAP_SYS_ADMIN and CAP_NET_ADMIN among them"),
        (true, false) => format!("{set}, CAP_SYS_ADMIN without CAP_NET_ADMIN"),
        (false, _) if u64::from_str_radix(&set, 16) == Ok(0) => "none, as an ordinary user has".to_owned(),
        (false, _) => format!("{set}, without CAP_SYS_ADMIN"),
    };
    let ordinary = !geteuid().is_root() && !process::may_administer();
    if process::may_administer_networks() || ordinary {
        return Check::note(group, name, WHY).found(found);
    }
    let mend = "in a container: `--cap-add SYS_ADMIN --cap-add NET_ADMIN`, or `--privileged`";
    Check::missing(group, name, WHY, mend).found(found)
}

/// Containers lay read-only mounts over parts of `/proc`; with them, a user namespace gets no fresh one (`mount_too_revealing` in
/// fs/namespace.c).
fn proc() -> Check {
    const WHY: &str = "a lab writes `/proc/sys`, in a `/proc` of its own";
    let (group, name) = (Group::Rights, "/proc");
    let covered = covered(&read("/proc/self/mountinfo").unwrap_or_default());
    if covered.is_empty() {
        return Check::ok(group, name, WHY).found("whole");
    }
    let found = format!("covered in part, as in a container: {}", covered.join(", "));
    if process::may_administer() {
        return Check::note(group, name, WHY).found(found);
    }
    let mend = "`--security-opt systempaths=unconfined` (Podman: `unmask=ALL`), or run the tests as root";
    Check::missing(group, name, WHY, mend).found(found)
}

/// What is mounted within `/proc`, but for what every machine has there.
fn covered(mounts: &str) -> Vec<String> {
    // Fields of a line: id, parent, device, root, mount point (`proc_pid_mountinfo(5)`).
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let within = points.filter(|point| point.starts_with("/proc/") && *point != "/proc/sys/fs/binfmt_misc");
    within.map(str::to_owned).collect()
}

fn user_namespaces() -> Check {
    const WHY: &str = "an ordinary user's sandbox is one";
    let limit = read("/proc/sys/user/max_user_namespaces");
    if limit.as_deref() == Some("0") {
        return Check::missing(
            Group::Rights,
            "user namespaces",
            WHY,
            "sudo sysctl -w user.max_user_namespaces=10000",
        )
        .found("user.max_user_namespaces is 0");
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Check::missing(
            Group::Rights,
            "user namespaces",
            WHY,
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
        .found("kernel.unprivileged_userns_clone is 0");
    }
    match limit {
        Some(limit) => Check::ok(Group::Rights, "user namespaces", WHY).found(format!("up to {limit}")),
        None => Check::missing(Group::Rights, "user namespaces", WHY, "a kernel with CONFIG_USER_NS"),
    }
}

fn apparmor() -> Check {
    const WHY: &str = "Ubuntu lets ordinary users have user namespaces without any right in them";
    let profile = read("/proc/self/attr/apparmor/current").or_else(|| {
        let enabled = read("/sys/module/apparmor/parameters/enabled")? == "Y";
        enabled.then(|| read("/proc/self/attr/current")).flatten()
    });
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1");
    match profile {
        _ if restricted => Check::missing(
            Group::Rights,
            "AppArmor",
            WHY,
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
        .found("kernel.apparmor_restrict_unprivileged_userns is 1"),
        Some(profile) => {
            Check::ok(Group::Rights, "AppArmor", WHY).found(format!("on, this process: {profile}"))
        }
        None => Check::ok(Group::Rights, "AppArmor", WHY).found("not in force"),
    }
}

fn seccomp() -> Check {
    const WHY: &str = "containers filter `clone` with namespaces, `mount` and `bpf`";
    match status("Seccomp").as_deref() {
        Some("2") => Check::note(Group::Rights, "seccomp", WHY)
            .found("a filter is in force; `--security-opt seccomp=unconfined` lifts a container's"),
        Some("0") => Check::ok(Group::Rights, "seccomp", WHY).found("no filter"),
        other => Check::note(Group::Rights, "seccomp", WHY).found(other.unwrap_or("not in this kernel")),
    }
}

fn no_new_privileges() -> Check {
    const WHY: &str = "under it, `newuidmap` and `sudo` have no effect";
    match status("NoNewPrivs").as_deref() {
        Some("1") => Check::note(Group::Rights, "no_new_privs", WHY).found("set"),
        _ => Check::ok(Group::Rights, "no_new_privs", WHY).found("not set"),
    }
}

#[cfg(test)]
mod tests {
    use super::{at_least, covered};

    #[test]
    fn releases_compare_as_numbers() {
        assert!(
            at_least("5.9.0", (5, 9)) && at_least("5.10.0-28-amd64", (5, 9)) && at_least("6.1-rc3", (5, 9))
        );
        assert!(!at_least("5.8.18", (5, 9)) && !at_least("4.19.0-27", (5, 9)));
        assert!(at_least("unheard-of", (5, 9)));
    }

    #[test]
    fn mounts_within_proc_are_seen() {
        let plain =
            "22 1 0:21 / /proc rw - proc proc rw\n30 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs a rw\n";
        assert!(covered(plain).is_empty());
        let container = format!(
            "{plain}31 22 0:21 /sys /proc/sys ro - proc proc rw\n32 22 0:5 /null /proc/kcore rw - t t rw\n"
        );
        assert_eq!(covered(&container), ["/proc/sys", "/proc/kcore"]);
    }
}
