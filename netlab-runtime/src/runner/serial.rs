//! Locks that tests share across threads, processes, binaries and users: `serial = "group"`.
//!
//! A lock is a socket with a name in the abstract namespace (unix(7)), which only one can have. It is no file, so
//! that nothing is left of it and no one's permissions matter; the kernel takes it away when its holder is gone,
//! whatever way. Such names belong to a network namespace, which is just the thing that the tests of a group share.
//! Who has to wait connects to the holder, and is woken by the end of that connection.

use std::io::{self, ErrorKind, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// How long a test waits before it says so.
const SILENCE: Duration = Duration::from_secs(1);
/// The longest name (`UNIX_PATH_MAX`, include/uapi/linux/un.h, less the zero byte in front).
const LONGEST: usize = 107;

/// A lock, held.
#[derive(Debug)]
#[must_use = "dropping it lets go of the lock"]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] UnixListener);

/// Waits for a group's lock. `waiting` is called with the holder's process id if that takes long; at once when
/// `live`.
///
/// # Errors
///
/// What making the socket says, other than that another has the name.
pub(super) fn lock(group: &str, live: bool, waiting: impl Fn(i32) + Sync) -> io::Result<Lock> {
    let address = SocketAddr::from_abstract_name(name(group))?;
    let mut silence = if live { Duration::ZERO } else { SILENCE };
    loop {
        match UnixListener::bind_addr(&address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if wait(&address, silence, &waiting)? {
                    // Once is enough: who waits is not told of every holder before it.
                    silence = Duration::MAX;
                }
            }
            bound => return bound.map(Lock),
        }
    }
}

/// Waits until the present holder is gone; says whether that took so long that it was told.
fn wait(address: &SocketAddr, silence: Duration, waiting: &(impl Fn(i32) + Sync)) -> io::Result<bool> {
    let mut holder = match UnixStream::connect_addr(address) {
        Ok(holder) => holder,
        // Gone, or about to listen: another try will tell.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {
            std::thread::yield_now();
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let pid = getsockopt(&holder, PeerCredentials)?.pid();
    let (ended, is_ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let teller = scope.spawn(move || {
            let late = is_ended.recv_timeout(silence) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                waiting(pid);
            }
            late
        });
        // The holder writes nothing: this returns when it is gone, as the end or as a reset.
        let read = holder.read(&mut [0]);
        drop(ended);
        let told = teller.join().unwrap_or(true);
        match read {
            Ok(_) => Ok(told),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::Interrupted) => {
                Ok(told)
            }
            Err(error) => Err(error),
        }
    })
}

/// The group's name among sockets.
fn name(group: &str) -> Vec<u8> {
    let whole = format!("netlab/serial/{group}").into_bytes();
    if whole.len() <= LONGEST {
        return whole;
    }
    // FNV-1a (draft-eastlake-fnv): any hash will do that is the same in every binary.
    let hash = whole.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let end = format!("/{hash:016x}").into_bytes();
    [&whole[..LONGEST - end.len()], &end].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn group(name: &str) -> String {
        format!("{name} {}", std::process::id())
    }

    #[test]
    fn one_at_a_time() {
        let group = group("one at a time");
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = lock(&group, false, |_| {}).unwrap();
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
    fn who_waits_says_for_whom() {
        let group = group("who waits");
        let held = lock(&group, false, |_| {}).unwrap();
        let (told, is_told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let told = std::sync::Mutex::new(told);
                lock(&group, true, |pid| told.lock().unwrap().send(pid).unwrap()).unwrap()
            });
            let pid = is_told.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(pid.unsigned_abs(), std::process::id());
            drop(held);
        });
    }

    #[test]
    fn groups_are_told_apart_by_their_whole_names() {
        let long = "x".repeat(200);
        let names =
            [group("a"), group("b"), format!("{long}{}", group("a")), format!("{long}{}", group("b"))];
        let locks: Vec<_> = names.iter().map(|group| lock(group, false, |_| {}).unwrap()).collect();
        assert_eq!(locks.len(), names.len());
    }
}
