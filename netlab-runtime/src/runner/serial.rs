//! Locks that tests share across threads, processes, binaries and users: `serial = "group"`.
//!
//! A lock is an advisory one (`flock`) on a file that everyone can reach. The kernel lets go of it when its holder
//! is gone, whatever way. The file is removed on release, so that nothing is left; who waited for a file that is
//! no longer the one of that name tries again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Fixed, unlike the temporary directory of a user: all must mean the same file.
const DIRECTORY: &str = "/tmp";
/// How long a test waits before it says so.
const SILENCE: Duration = Duration::from_secs(1);

/// A lock, held.
#[derive(Debug)]
#[must_use = "dropping it lets go of the lock"]
pub(super) struct Lock {
    path: PathBuf,
    /// Taken only by `drop`.
    file: Option<Flock<File>>,
}

/// Waits for a group's lock. `waiting` is called if that takes long; at once when `live`.
///
/// # Errors
///
/// What opening or locking the file says.
pub(super) fn lock(group: &str, live: bool, waiting: impl Fn(&Path) + Sync) -> io::Result<Lock> {
    lock_file(Path::new(DIRECTORY), group, if live { Duration::ZERO } else { SILENCE }, waiting)
}

fn lock_file(
    directory: &Path,
    group: &str,
    silence: Duration,
    waiting: impl Fn(&Path) + Sync,
) -> io::Result<Lock> {
    let path = directory.join(format!("netlab-serial-{}.lock", escaped(group)));
    let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
    loop {
        let Some(file) = open(&path).map_err(named)? else { continue };
        let locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((file, Errno::EWOULDBLOCK)) => {
                wait(file, silence, || waiting(&path)).map_err(|errno| named(errno.into()))?
            }
            Err((_, errno)) => return Err(named(errno.into())),
        };
        let ours = locked.metadata().map_err(named)?;
        let current = fs::symlink_metadata(&path);
        if current.is_ok_and(|current| current.ino() == ours.ino() && current.dev() == ours.dev()) {
            return Ok(Lock { path, file: Some(locked) });
        }
    }
}

/// Opens the file, or makes it; nothing, if another did either in between.
///
/// In a directory where everyone may make files, `fs.protected_regular` forbids to open another's with `O_CREAT`,
/// even to root; and `flock` needs no more than reading.
fn open(path: &Path) -> io::Result<Option<File>> {
    let common = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(common).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made =
                OpenOptions::new().write(true).create_new(true).mode(0o644).custom_flags(common).open(path);
            match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                made => made?,
            }
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file; remove it"));
    }
    Ok(Some(file))
}

/// Waits for the lock, and tells of it after a while.
fn wait(file: File, silence: Duration, waiting: impl Fn() + Sync) -> Result<Flock<File>, Errno> {
    let (done, is_done) = mpsc::channel::<()>();
    let waiting = &waiting;
    std::thread::scope(|scope| {
        let teller = scope.spawn(move || {
            if is_done.recv_timeout(silence) == Err(mpsc::RecvTimeoutError::Timeout) {
                waiting();
            }
        });
        let mut file = file;
        let locked = loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Err((again, Errno::EINTR)) => file = again,
                result => break result.map_err(|(_, errno)| errno),
            }
        };
        drop(done);
        drop(teller);
        locked
    })
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Under the lock, so that it is the file that is locked. Another user's file stays where only its owner may
        // remove it: one that a killed holder left.
        if let Err(error) = fs::remove_file(&self.path)
            && !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)
        {
            eprintln!("netlab: `{}` could not be removed: {error}", self.path.display());
        }
        // By hand: a child in the making may have a copy of the descriptor for a moment, so that closing ours
        // would not be the end of the lock.
        if let Some(file) = self.file.take()
            && let Err((_, errno)) = file.unlock()
        {
            eprintln!("netlab: `{}` could not be unlocked: {errno}", self.path.display());
        }
    }
}

/// The group as part of a file's name: no separators, and different for different groups.
fn escaped(group: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    group.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("netlab-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            // Fails if a lock left its file behind.
            fs::remove_dir(&self.0).unwrap();
        }
    }

    #[test]
    fn one_at_a_time_and_nothing_left() {
        let directory = Directory::new("serial");
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = lock_file(&directory.0, "a/b", SILENCE, |_| {}).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn who_waits_says_so() {
        let directory = Directory::new("waiting");
        let held = lock_file(&directory.0, "g", SILENCE, |_| {}).unwrap();
        let (told, is_told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let told = std::sync::Mutex::new(told);
                lock_file(&directory.0, "g", Duration::ZERO, |_| told.lock().unwrap().send(()).unwrap())
                    .unwrap()
            });
            is_told.recv_timeout(Duration::from_secs(10)).unwrap();
            drop(held);
        });
    }

    #[test]
    fn other_groups_do_not_wait() {
        let directory = Directory::new("others");
        let one = lock_file(&directory.0, "a", SILENCE, |_| {}).unwrap();
        let other = lock_file(&directory.0, "b", SILENCE, |_| {}).unwrap();
        drop((one, other));
        assert_ne!(escaped("a/b"), escaped("a_b"));
    }
}
