//! Which labs are alive on this machine: whose, since when, and of which binary.
//!
//! Found by facts, in `/proc`, and by no record of ours: a lab's worker is the first process that the init of a PID namespace
//! started (it is number 2 there), and its environment names its test. The init's parent is the runner.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{SysconfVar, Uid, geteuid, sysconf};
use serde::Serialize;

use crate::sandbox::{WORKER, user_name};

/// A lab that is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alive {
    /// The runner: the process that watches over the test.
    pub runner: i32,
    /// The worker: the process of the test itself, outside of which the lab has no other.
    pub worker: i32,
    /// The test's path, its crate first.
    pub test: String,
    /// The test binary.
    pub binary: PathBuf,
    /// Who runs it.
    pub uid: u32,
    /// By name, where the number has one.
    pub user: Option<String>,
    /// For how many seconds it has been there.
    pub seconds: u64,
    /// Whether it is joined to the machine's own network.
    pub privileged: bool,
}

/// What is to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The labs, the oldest first.
    pub labs: Vec<Alive>,
    /// How many processes could not be looked into, because they are others'.
    pub unseen: usize,
    /// Whether root looked, so that nobody would see more.
    pub as_root: bool,
}

/// Looks.
///
/// Processes of other users can be looked into by root only, and those of another PID namespace (outside of a container, say) by
/// nobody in this one.
///
/// # Errors
///
/// `/proc` is not mounted.
pub fn look() -> io::Result<Seen> {
    let mut seen = Seen { as_root: geteuid().is_root(), ..Seen::default() };
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match Process(pid).lab() {
            Ok(lab) => seen.labs.extend(lab),
            // That is said of one that is ending, too.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                seen.unseen += usize::from(!Process(pid).is_dead());
            }
            // It ended meanwhile.
            Err(_) => {}
        }
    }
    seen.labs.sort_by_key(|lab| (std::cmp::Reverse(lab.seconds), lab.worker));
    Ok(seen)
}

#[derive(Clone, Copy, Debug)]
struct Process(i32);

impl Process {
    /// The lab whose worker this process is.
    fn lab(self) -> io::Result<Option<Alive>> {
        let environment = fs::read(self.file("environ"))?;
        let Some(test) = value(&environment, WORKER) else { return Ok(None) };
        let status = Status::of(self)?;
        let init = Self(status.parent);
        // A copy that the test made by `fork`, and left to init, has its environment, but another number.
        if status.innermost != WORKER_NUMBER || Status::of(init)?.innermost != 1 {
            return Ok(None);
        }
        let runner = Self(Status::of(init)?.parent);
        // Where it is not to be seen, the runner is outside of our PID namespace; the worker has the same binary.
        let binary = fs::read_link(runner.file("exe")).or_else(|_unseen| fs::read_link(self.file("exe")))?;
        let uid = Status::of(runner).map_or(status.uid, |runner| runner.uid);
        Ok(Some(Alive {
            runner: runner.0,
            worker: self.0,
            test,
            binary,
            uid,
            user: user_name(Uid::from_raw(uid)),
            seconds: self.age()?.as_secs(),
            privileged: self.has_the_network_of(runner)?,
        }))
    }

    /// Whether it has ended, and only its parent has to take notice.
    fn is_dead(self) -> bool {
        fs::read_to_string(self.file("stat")).ok().is_none_or(|stat| {
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
            matches!(state, Some("Z" | "X"))
        })
    }

    fn file(self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.0.to_string()).join(name)
    }

    /// How long it has been there.
    fn age(self) -> io::Result<Duration> {
        let stat = fs::read_to_string(self.file("stat"))?;
        // The name, in parentheses, may contain anything; what follows it begins with field 3 (`proc_pid_stat(5)`).
        let start = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(22 - 3)?.parse::<f64>().ok());
        let uptime = fs::read_to_string("/proc/uptime")?;
        let uptime = uptime.split_whitespace().next().and_then(|seconds| seconds.parse::<f64>().ok());
        let ticks = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
        let (Some(start), Some(uptime)) = (start, uptime) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "`/proc` says no time"));
        };
        Ok(Duration::from_secs_f64((uptime - start / ticks).max(0.0)))
    }

    /// Whether this process is in the network of its runner, or holds it open: an isolated lab has no way there.
    fn has_the_network_of(self, runner: Self) -> io::Result<bool> {
        let Ok(machine) = fs::read_link(runner.file("ns/net")) else { return Ok(false) };
        if fs::read_link(self.file("ns/net"))? == machine {
            return Ok(true);
        }
        let descriptors = fs::read_dir(self.file("fd"))?.filter_map(Result::ok);
        Ok(descriptors
            .into_iter()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == machine)))
    }
}

/// The worker's process id in its PID namespace: the first that its init makes.
const WORKER_NUMBER: i32 = 2;

/// What `/proc/PID/status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    parent: i32,
    uid: u32,
    /// Its process id in its own PID namespace.
    innermost: i32,
}

impl Status {
    fn of(process: Process) -> io::Result<Self> {
        let text = fs::read_to_string(process.file("status"))?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "`/proc` says something else"))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Some(Self {
            parent: field("PPid")?.trim().parse().ok()?,
            uid: field("Uid")?.split_whitespace().next()?.parse().ok()?,
            innermost: field("NSpid")?.split_whitespace().last()?.parse().ok()?,
        })
    }
}

/// The value of a variable in an environment as the kernel has it.
fn value(environment: &[u8], name: &str) -> Option<String> {
    let variables = environment.split(|&byte| byte == 0);
    let mut values =
        variables.filter_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next().map(|value| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_understood() {
        let text = "Name:\tvery Uid:\nPPid:\t41\nUid:\t1000\t1000\t1000\t1000\nNSpid:\t42\t7\t2\n";
        assert_eq!(Status::parse(text), Some(Status { parent: 41, uid: 1000, innermost: 2 }));
        assert_eq!(Status::parse("PPid:\t41\n"), None);
        let environment = b"A=1\0NETLAB_WORKERS=no\0NETLAB_WORKER=a::b\0";
        assert_eq!(value(environment, "NETLAB_WORKER").as_deref(), Some("a::b"));
        assert_eq!(value(b"", "NETLAB_WORKER"), None);
    }

    #[test]
    fn this_process_is_young_and_no_lab() {
        let own = Process(std::process::id().cast_signed());
        assert!(own.age().unwrap() < Duration::from_secs(24 * 3600));
        assert_eq!(own.lab().unwrap(), None);
    }
}
