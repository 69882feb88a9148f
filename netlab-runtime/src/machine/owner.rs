//! Processes as owners of journals: one is known by its id and the time it started, since ids are used again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) pid: u32,
    /// In ticks since the machine started (field 22 of `/proc/PID/stat`, proc_pid_stat(5)).
    start: u64,
    /// The PID namespace that the id is of.
    pid_namespace: u64,
}

/// Whether an owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
    /// It is of another PID namespace, where an id means somebody else.
    Unknown,
}

impl Owner {
    /// This process.
    pub(super) fn here() -> io::Result<Self> {
        let pid = std::process::id();
        let start = start_of(pid)?.ok_or_else(|| io::Error::other("`/proc` shows this process as dead"))?;
        Ok(Self { pid, start, pid_namespace: pid_namespace()? })
    }

    /// Whether it lives.
    pub(super) fn life(&self) -> io::Result<Life> {
        if pid_namespace()? != self.pid_namespace {
            return Ok(Life::Unknown);
        }
        Ok(if start_of(self.pid)? == Some(self.start) { Life::Alive } else { Life::Dead })
    }

    /// Whether its PID namespace is the caller's, or the caller sees those of the whole machine.
    pub(super) fn is_in_sight(&self) -> io::Result<bool> {
        /// `PROC_PID_INIT_INO`, include/linux/proc_ns.h.
        const OF_THE_WHOLE_MACHINE: u64 = 0xEFFF_FFFC;
        let here = pid_namespace()?;
        Ok(here == self.pid_namespace || here == OF_THE_WHOLE_MACHINE)
    }

    #[cfg(test)]
    pub(super) fn with_start(&self, start: u64) -> Self {
        Self { start, ..self.clone() }
    }
}

fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// When a process started; nothing if there is none, or only what its parent has yet to collect.
fn start_of(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It ended between the opening and the reading.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    parse(&stat).ok_or_else(|| io::Error::other(format!("`/proc/{pid}/stat` is not understood: {stat}")))
}

/// The start time, if the process is not dead.
fn parse(stat: &str) -> Option<Option<u64>> {
    // The name stands in parentheses and may contain any of them.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((!matches!(state, "Z" | "X")).then_some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let here = Owner::here().unwrap();
        assert_eq!(here.life().unwrap(), Life::Alive);
        assert_eq!(here.with_start(here.start + 1).life().unwrap(), Life::Dead);
        let elsewhere = Owner { pid_namespace: 1, ..here };
        assert_eq!(elsewhere.life().unwrap(), Life::Unknown);
    }

    #[test]
    fn a_name_with_parentheses_misleads_nobody() {
        let stat = |state| format!("7 (a) Z (b) {state} 1 7 7 0 -1 4 5 0 0 0 1 2 0 0 20 0 1 0 4711 9 9 18");
        assert_eq!(parse(&stat("S")), Some(Some(4711)));
        assert_eq!(parse(&stat("Z")), Some(None));
    }

    #[test]
    fn a_process_that_ended_is_dead() {
        let mut child = std::process::Command::new("/proc/self/exe")
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let start = start_of(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!(start_of(child.id()).unwrap().filter(|_| start.is_some()), None);
    }
}
