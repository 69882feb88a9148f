//! Namespaces that outlive their sandbox, since an interface of the machine is in them.
//!
//! A namespace lives as long as something refers to it: here a bind mount of its file (as `ip netns` does it), in the runner's
//! mount namespace. So an interface in it is found even when the runner is dead as well. Hardware would come back by itself
//! (`default_device_exit_net`), what is virtual would be destroyed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{FsType, fstatfs};

/// `NSFS_MAGIC`, include/uapi/linux/magic.h.
const NSFS: FsType = FsType(0x6e73_6673);

/// Where a place's namespace is pinned. Names of places are those of nodes, which are harmless in paths.
pub(super) fn path(pins: &Path, place: &str) -> PathBuf {
    pins.join(place)
}

/// Pins a namespace.
pub(super) fn pin(pins: &Path, place: &str, namespace: BorrowedFd<'_>) -> io::Result<()> {
    if place.is_empty() || place.contains('/') || place.starts_with('.') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{place}` names no place")));
    }
    if fstatfs(namespace)?.filesystem_type() != NSFS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no namespace"));
    }
    match DirBuilder::new().mode(0o755).create(pins) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let path = path(pins, place);
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path)?;
    let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
    let mounted = mount(Some(source.as_str()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    if let Err(errno) = mounted {
        fs::remove_file(&path)?;
        return Err(errno.into());
    }
    Ok(())
}

/// The namespace pinned there; none if there is none any more.
pub(super) fn open(path: &Path) -> io::Result<Option<OwnedFd>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Where the mount is not to be seen, or gone with the machine's start, an empty file is left.
    let is_namespace = fstatfs(file.as_fd())?.filesystem_type() == NSFS;
    Ok(is_namespace.then(|| file.into()))
}

/// Lets go of all namespaces pinned in a folder, and removes it.
pub(super) fn remove(pins: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(pins) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // Nothing is mounted there.
            Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        fs::remove_file(&path)?;
    }
    fs::remove_dir(pins)
}
