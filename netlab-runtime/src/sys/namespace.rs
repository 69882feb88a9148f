//! Namespaces: the only place where a thread's namespace changes.
//!
//! Invariant: a thread that somebody else may use is never left in another namespace. What changes the calling thread
//! is called on a thread made for the purpose ([`on_thread`]), or within an [`excursion`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;

/// The calling thread's network namespace.
///
/// # Errors
///
/// `/proc` is not mounted, or the process may open no more descriptors.
pub fn current_net() -> io::Result<OwnedFd> {
    open("net")
}

/// Gives the calling thread a new network namespace, empty but for `lo`.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN` in the user namespace; `ENOSPC` at the limit `user.max_net_namespaces`.
pub fn unshare_net() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN` over the namespace.
pub fn enter_net(namespace: BorrowedFd<'_>) -> io::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
}

/// What a program sees of the machine besides its network: mounts and host name.
#[derive(Debug)]
pub struct View {
    mounts: OwnedFd,
    uts: OwnedFd,
}

impl View {
    /// Makes a view for the network namespace that the calling thread is in, and leaves the thread in it:
    /// `/sys` shows that namespace's devices, the host name is `hostname`.
    ///
    /// The second value says why `/sys` could not be mounted, if so: containers that mask parts of `/sys`
    /// have the kernel refuse a new one (`mount_too_revealing` in `fs/namespace.c`).
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_ADMIN` in the user namespace.
    pub fn make(hostname: &str) -> io::Result<(Self, Option<io::Error>)> {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
        // Mounts made here stay here; those of the sandbox still arrive.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let sysfs = |flags| mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>);
        // Where the machine has /sys read-only, only a read-only one may be mounted in a user namespace.
        let refused = sysfs(safe).or_else(|_writable| sysfs(safe | MsFlags::MS_RDONLY)).err();
        nix::unistd::sethostname(hostname)?;
        let view = Self { mounts: open("mnt")?, uts: open("uts")? };
        Ok((view, refused.map(io::Error::from)))
    }

    /// The view of the process itself, which is its first thread's; none if the calling thread has it already.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted, or the process may open no more descriptors.
    pub fn of_the_process() -> io::Result<Option<Self>> {
        let mounts = File::open("/proc/self/ns/mnt")?;
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        if identity(mounts.metadata()?) == identity(std::fs::metadata("/proc/thread-self/ns/mnt")?) {
            return Ok(None);
        }
        Ok(Some(Self { mounts: mounts.into(), uts: File::open("/proc/self/ns/uts")?.into() }))
    }

    /// Moves the calling thread into the view.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> io::Result<()> {
        // A thread shares its root and working directory with its siblings, and the kernel refuses to
        // change the mount namespace of one that shares (`mntns_install`).
        unshare(CloneFlags::CLONE_FS)?;
        // Entering leads to the root directory; a program expects to start where the test is.
        let directory = std::env::current_dir();
        setns(self.mounts.as_fd(), CloneFlags::CLONE_NEWNS)?;
        if let Ok(directory) = directory {
            nix::unistd::chdir(&directory)?;
        }
        setns(self.uts.as_fd(), CloneFlags::CLONE_NEWUTS)
    }
}

/// Runs `work`, which may change the calling thread's network namespace, and takes the thread `home` again.
///
/// It saves making a thread, where nothing else can run on this one meanwhile: that costs tens of microseconds on an idle
/// machine, and milliseconds on one whose processors are all busy.
pub fn excursion<T>(home: BorrowedFd<'_>, work: impl FnOnce() -> T) -> T {
    struct Home<'a>(BorrowedFd<'a>);

    impl Drop for Home<'_> {
        fn drop(&mut self) {
            if let Err(error) = enter_net(self.0) {
                // To go on would be to act in a node as if it were the host.
                eprintln!("netlab: a thread cannot return to its network namespace: {error}");
                std::process::abort();
            }
        }
    }

    let _home = Home(home);
    work()
}

/// Runs `work` on a thread made for it, which may change its namespaces, and waits for it to end.
/// A panic of `work` goes on in the caller.
///
/// # Errors
///
/// No thread could be made.
pub fn on_thread<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    // The kernel cuts a thread's name to 15 bytes; std does so itself, and refuses only NUL.
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work)?;
        thread.join().map_or_else(|panic| resume_unwind(panic), Ok)
    })
}

fn open(kind: &str) -> io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/thread-self/ns/{kind}"))?.into())
}

#[expect(clippy::disallowed_methods, reason = "this is the layer that may")]
fn unshare(flags: CloneFlags) -> io::Result<()> {
    Ok(nix::sched::unshare(flags)?)
}

#[expect(clippy::disallowed_methods, reason = "this is the layer that may")]
fn setns(namespace: BorrowedFd<'_>, kind: CloneFlags) -> io::Result<()> {
    Ok(nix::sched::setns(namespace, kind)?)
}
