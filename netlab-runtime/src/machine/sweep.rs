//! What dead runs left, undone by others; and what runs there are.
//!
//! Invariant: a run that lives is never swept. Its owner lives, or its sandbox does, and either has the lock.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ground::Ground;
use super::identity::{MachineId, boot};
use super::journal::{self, Contents, Header};
use super::lock::{self, Holder, Lock};
use super::owner::Life;
use super::session;
use super::state;
use super::undo::{self, Left};

/// A run whose owner is dead, and what became of what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The run's name.
    pub run: String,
    /// Its test.
    pub test: String,
    /// The process that it was of.
    pub pid: u32,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a dead run's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They would be undone: the operations, as the equivalent commands, in the order in which they were made.
    WouldBeUndone(Vec<String>),
    /// They were undone, so many of them, but for these.
    Undone {
        /// How many changes there were.
        changes: usize,
        /// What could not be undone.
        left: Vec<Left>,
    },
    /// There is nothing to undo any more, for this reason.
    Dropped(String),
    /// Its journal could not be read, or not be removed.
    Unreadable(String),
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, test, pid, fate } = self;
        write!(f, "run {run} of `{test}` (process {pid}, dead): ")?;
        match fate {
            Fate::WouldBeUndone(changes) => {
                write!(f, "to be undone:")?;
                changes.iter().rev().try_for_each(|change| write!(f, "\n    {change}"))
            }
            Fate::Undone { changes, left } => {
                write!(f, "{} of {changes} changes undone", changes.saturating_sub(left.len()))?;
                left.iter().try_for_each(|left| write!(f, "\n    {left}"))
            }
            Fate::Dropped(why) => write!(f, "nothing to undo, {why}"),
            Fate::Unreadable(why) => write!(f, "its journal is of no use: {why}"),
        }
    }
}

/// Why nothing was swept.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A run is on the machine.
    #[error("the machine is in use by {0}; what dead runs left is undone when that has ended")]
    Busy(Holder),
    /// What the system says.
    #[error("what dead runs left cannot be found")]
    Io(#[from] io::Error),
}

/// Undoes what dead runs left on this machine, or says what would be undone.
///
/// # Errors
///
/// A run is on the machine: its lock is not waited for.
///
/// # Privileges
///
/// `CAP_NET_ADMIN` over the machine's network namespace, but for a dry run.
pub fn sweep(dry_run: bool) -> Result<Vec<Swept>, SweepError> {
    if dry_run {
        return Ok(of(&MachineId::here()?, None)?);
    }
    match Lock::try_take()? {
        Ok(lock) => {
            let mut ground = Ground::here()?;
            let swept = of(&MachineId::here()?, Some(&mut ground))?;
            drop(lock);
            Ok(swept)
        }
        Err(file) => Err(SweepError::Busy(holder(lock::holder(&file)))),
    }
}

/// Undoes what dead runs left on a machine, whose lock the caller has; without a ground, says what would be.
pub(super) fn of(machine: &MachineId, mut ground: Option<&mut Ground>) -> io::Result<Vec<Swept>> {
    let boot = boot()?;
    let mut swept = Vec::new();
    for path in state::journals() {
        let unreadable = |why: String| {
            let run = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Swept { run, test: "?".to_owned(), pid: 0, fate: Fate::Unreadable(why) }
        };
        let (mut file, contents) = match read(&path) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) => {
                swept.push(unreadable(format!("`{}`: {error}", path.display())));
                continue;
            }
        };
        let fate = match judge(&contents.header, machine, &boot)? {
            Verdict::Leave => continue,
            Verdict::Drop(why) => {
                if ground.is_some()
                    && let Err(error) = session::remove(&path)
                {
                    Fate::Unreadable(format!("`{}` cannot be removed: {error}", path.display()))
                } else {
                    Fate::Dropped(why)
                }
            }
            Verdict::Undo => match ground.as_deref_mut() {
                None => Fate::WouldBeUndone(to_undo(&contents)),
                Some(ground) => {
                    let changes = to_undo(&contents).len();
                    let mut left = undo::all(&mut file, ground);
                    if !left.iter().any(|left| left.again)
                        && let Err(error) = session::remove(&path)
                    {
                        let what = format!("the journal `{}`", path.display());
                        left.push(Left { what, why: error.to_string(), again: true });
                    }
                    Fate::Undone { changes, left }
                }
            },
        };
        let Header { run, test, owner, .. } = contents.header;
        swept.push(Swept { run, test, pid: owner.pid, fate });
    }
    Ok(swept)
}

fn to_undo(contents: &Contents) -> Vec<String> {
    let changes = contents.changes.iter().enumerate();
    changes
        .filter(|(number, _)| !contents.undone.contains(number))
        .map(|(_, change)| change.what.clone())
        .collect()
}

/// A journal; nothing if it is gone, or its owner has not come to write anything yet.
fn read(path: &Path) -> io::Result<Option<(fs::File, Contents)>> {
    let mut file = match state::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(journal::read(&mut file)?.map(|contents| (file, contents)))
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Leave,
    Undo,
    Drop(String),
}

fn judge(header: &Header, machine: &MachineId, boot: &str) -> io::Result<Verdict> {
    if header.boot != boot {
        return Ok(Verdict::Drop("the machine was started again since".to_owned()));
    }
    let life = header.owner.life()?;
    if life == Life::Alive {
        return Ok(Verdict::Leave);
    }
    if header.machine == *machine {
        // Whoever is meant by the id in another PID namespace: the lock is ours, and so no run is underway here.
        return Ok(Verdict::Undo);
    }
    // Whether another machine is gone can only be said of one that would be seen here.
    Ok(if life == Life::Dead && header.owner.is_in_sight()? && is_gone(&header.machine, machine)? {
        Verdict::Drop("the network namespace that it changed is gone".to_owned())
    } else {
        Verdict::Leave
    })
}

/// Whether a network namespace has no process and no mount that can be seen. Where something cannot be seen, it is not gone.
fn is_gone(wanted: &MachineId, here: &MachineId) -> io::Result<bool> {
    // Its number was given away: it is the very one we are in that has it now.
    if wanted.inode == here.inode && wanted.device == here.device {
        return Ok(true);
    }
    let mark = format!("net:[{}]", wanted.inode);
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let is_process = process.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        if is_process && !is_without(&process, wanted, &mark)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a process has nothing to do with a namespace: none of its threads is in it, and it sees no mount of it.
fn is_without(process: &Path, wanted: &MachineId, mark: &str) -> io::Result<bool> {
    let ended = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound
            || matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL))
    };
    let tasks = match fs::read_dir(process.join("task")) {
        Ok(tasks) => tasks,
        Err(error) if ended(&error) => return Ok(true),
        Err(error) => return Err(error),
    };
    for task in tasks {
        let task = match task {
            Ok(task) => task.path(),
            Err(error) if ended(&error) => continue,
            Err(error) => return Err(error),
        };
        match fs::metadata(task.join("ns/net")) {
            Ok(net) if net.ino() == wanted.inode => return Ok(false),
            Ok(_) => {}
            Err(error) if ended(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    match fs::read_to_string(process.join("mountinfo")) {
        Ok(mounts) => Ok(!mounts.contains(mark)),
        Err(error) if ended(&error) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

/// A run that touches the machine, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its name.
    pub run: String,
    /// Its test.
    pub test: String,
    /// The binary that the test is in.
    pub binary: PathBuf,
    /// The process that it is of.
    pub pid: u32,
    /// The user that it runs as.
    pub uid: u32,
    /// When it began.
    pub since: SystemTime,
    /// Whether its process lives; none if that is of another PID namespace and cannot be known.
    pub alive: Option<bool>,
    /// Whether it is on the machine that the caller is on, rather than on another network namespace.
    pub here: bool,
    /// What it changed on the machine, as the equivalent commands, and has not undone.
    pub changes: Vec<String>,
}

/// The runs that have a journal which can be read and is to be believed, in the order of their names.
///
/// # Errors
///
/// `/proc` is not mounted.
pub fn runs() -> io::Result<Vec<RunInfo>> {
    let machine = MachineId::here()?;
    let boot = boot()?;
    let mut runs = Vec::new();
    for path in state::journals() {
        let Ok(Some((_, contents))) = read(&path) else { continue };
        let changes = to_undo(&contents);
        let Header { run, test, binary, owner, uid, since, machine: on, boot: of, .. } = contents.header;
        if of != boot {
            continue;
        }
        let alive = match owner.life()? {
            Life::Alive => Some(true),
            Life::Dead => Some(false),
            Life::Unknown => None,
        };
        let since = UNIX_EPOCH + Duration::from_secs(since);
        runs.push(RunInfo {
            run,
            test,
            binary,
            pid: owner.pid,
            uid,
            since,
            alive,
            here: on == machine,
            changes,
        });
    }
    Ok(runs)
}

/// Who has the lock, with what its journal says.
pub(super) fn holder(pid: Option<u32>) -> Holder {
    let machine = MachineId::here().ok();
    let journals = state::journals().into_iter().filter_map(|path| Some(read(&path).ok()??.1.header));
    // Without an id that means something here, it is the one that is on this machine.
    let mut journals = journals.filter(|header| Some(&header.machine) == machine.as_ref());
    let test =
        journals.find(|header| pid.is_none_or(|pid| header.owner.pid == pid)).map(|header| header.test);
    Holder { pid, test }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::header;
    use super::*;

    #[test]
    fn only_dead_runs_of_this_machine_and_boot_are_undone() {
        let living = header();
        let machine = living.machine.clone();
        let mut dead = living.clone();
        dead.owner = dead.owner.with_start(1);
        assert_eq!(judge(&living, &machine, "b").unwrap(), Verdict::Leave);
        assert_eq!(judge(&dead, &machine, "b").unwrap(), Verdict::Undo);
        assert!(
            matches!(judge(&living, &machine, "another").unwrap(), Verdict::Drop(why) if why.contains("started"))
        );
        // The namespace of this very process, which is surely there.
        let here = MachineId::here().unwrap();
        let elsewhere = Header { machine: here, ..dead.clone() };
        assert_eq!(judge(&elsewhere, &machine, "b").unwrap(), Verdict::Leave);
    }

    #[test]
    fn a_number_that_was_given_away_means_another_machine() {
        let mut dead = header();
        dead.owner = dead.owner.with_start(1);
        let reused = MachineId { cookie: Some(8), ..dead.machine.clone() };
        assert!(matches!(judge(&dead, &reused, "b").unwrap(), Verdict::Drop(why) if why.contains("gone")));
    }
}
