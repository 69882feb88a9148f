//! The lock of the machine: `flock` on its own network namespace.
//!
//! The file is `/proc/self/ns/net`, of which every process in that namespace sees the same inode. Every user can open it, it
//! leaves nothing on disk, and the kernel lets go of the lock with the last copy of its descriptor, of which the sandbox has
//! one. docs/decisions/0007 has the reasons.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc;
use std::time::Duration;

use crate::sys::namespace;

/// How long a test waits before it says so.
const SILENCE: Duration = Duration::from_secs(1);

/// Who has the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, if it can be seen from here.
    pub pid: Option<u32>,
    /// The test it runs, if its journal says so.
    pub test: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.test) {
            (Some(pid), Some(test)) => write!(f, "`{test}` (process {pid})"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, Some(test)) => write!(f, "`{test}`"),
            (None, None) => f.write_str("a process that cannot be seen from here"),
        }
    }
}

/// The lock, held.
#[derive(Debug)]
#[must_use = "dropping it lets go of the lock"]
pub(super) struct Lock(File);

impl Lock {
    /// Waits for the lock of the calling thread's network namespace. `waiting` is called with its holder if that takes long;
    /// at once when `live`.
    pub(super) fn take(live: bool, waiting: &(impl Fn(Option<u32>) + Sync)) -> io::Result<Self> {
        let lock = match Self::try_take()? {
            Ok(lock) => return Ok(lock),
            Err(file) => file,
        };
        let silence = if live { Duration::ZERO } else { SILENCE };
        let (done, is_done) = mpsc::channel::<()>();
        let locked = std::thread::scope(|scope| {
            scope.spawn(|| {
                let is_done = is_done;
                if is_done.recv_timeout(silence) == Err(mpsc::RecvTimeoutError::Timeout) {
                    waiting(holder(&lock));
                }
            });
            let locked = wait(&lock);
            drop(done);
            locked
        });
        locked.map(|()| Self(lock))
    }

    /// Takes the lock if nobody has it; otherwise gives what could have been locked.
    pub(super) fn try_take() -> io::Result<Result<Self, File>> {
        let file = File::from(namespace::current_net()?);
        match file.try_lock() {
            Ok(()) => Ok(Ok(Self(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(Err(file)),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// A further descriptor of the lock, and of the namespace: it is held until all of them are closed.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn wait(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The process that has the lock on a file.
pub(super) fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    holder_in(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// As proc_locks(5): `1: FLOCK  ADVISORY  WRITE 1042 00:04:4026531840 0 EOF`. Who waits has `->` behind the number.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        if fields.next()? != "FLOCK" {
            return None;
        }
        let mut fields = fields.skip(2);
        let pid = fields.next()?.parse().ok()?;
        let of = fields.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
        (of == inode).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::scratch::scratch;

    #[test]
    fn who_waits_hears_for_whom() {
        scratch("machine::lock::tests::who_waits_hears_for_whom", || {
            let held = Lock::take(true, &|_| panic!("nobody has it")).unwrap();
            let (told, is_told) = mpsc::channel();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let told = std::sync::Mutex::new(told);
                    Lock::take(true, &|pid| told.lock().unwrap().send(pid).unwrap()).unwrap()
                });
                let pid = is_told.recv_timeout(Duration::from_secs(10)).unwrap();
                assert_eq!(pid, Some(std::process::id()));
                drop(held);
            });
        });
    }

    #[test]
    fn it_is_held_until_its_last_descriptor_is_closed() {
        scratch("machine::lock::tests::it_is_held_until_its_last_descriptor_is_closed", || {
            let lock = Lock::take(true, &|_| {}).unwrap();
            let copy = lock.share().unwrap();
            drop(lock);
            assert!(Lock::try_take().unwrap().is_err());
            drop(copy);
            assert!(Lock::try_take().unwrap().is_ok());
        });
    }

    #[test]
    fn the_holder_is_told_from_who_waits() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:04:42 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 00:04:43 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 9 00:04:42 0 EOF\n3: FLOCK  ADVISORY  WRITE 10 00:04:42 0 EOF\n";
        assert_eq!(holder_in(locks, 42), Some(10));
        assert_eq!(holder_in(locks, 44), None);
    }
}
