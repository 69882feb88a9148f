//! Where journals and pins are, and whom to believe.
//!
//! What is believed is carried out with all privilege: only files of root's or our own count, in folders that nobody else can
//! write to.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::settings;

/// The ending of a journal's file name.
const ENDING: &str = "journal";

/// Folders for journals, the best first.
fn candidates() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/run/netlab")];
    folders.extend(settings::variable("XDG_RUNTIME_DIR").map(|base| Path::new(&base).join("netlab")));
    folders.push(PathBuf::from(format!("/tmp/netlab-{}", geteuid())));
    folders
}

/// The first folder that can be had; it is made if need be.
pub(super) fn folder() -> io::Result<PathBuf> {
    let mut refused = Vec::new();
    for folder in candidates() {
        match DirBuilder::new().mode(0o755).create(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                refused.push(format!("`{}`: {error}", folder.display()));
                continue;
            }
        }
        match believe_folder(&folder).and_then(|()| may_write(&folder)) {
            Ok(()) => return Ok(folder),
            Err(error) => refused.push(format!("`{}`: {error}", folder.display())),
        }
    }
    Err(io::Error::other(format!("no folder for the journal can be had: {}", refused.join("; "))))
}

/// Whether a folder that could not be removed is to stay: there are journals of others in it, or it is not ours to remove.
pub(super) fn stays(error: &io::Error) -> bool {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound, PermissionDenied, ResourceBusy};
    matches!(error.kind(), DirectoryNotEmpty | NotFound | PermissionDenied | ResourceBusy)
}

/// The journals that are there to be believed, in a fixed order.
pub(super) fn journals() -> Vec<PathBuf> {
    let mut journals = Vec::new();
    for folder in candidates() {
        if believe_folder(&folder).is_err() {
            continue;
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let found = entries.filter_map(|entry| Some(entry.ok()?.path()));
        journals.extend(found.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)));
    }
    journals.sort();
    journals
}

/// The file of a run's journal.
pub(super) fn journal(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("{run}.{ENDING}"))
}

/// The folder of the pins of the run that has this journal.
pub(super) fn pins(journal: &Path) -> PathBuf {
    journal.with_extension("")
}

/// Opens a journal that somebody wrote, if that somebody is to be believed.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    believe(&metadata, geteuid().as_raw())?;
    Ok(file)
}

fn believe_folder(folder: &Path) -> io::Result<()> {
    // Not through a link, which might be another's.
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("it is no folder"));
    }
    believe(&metadata, geteuid().as_raw())
}

fn believe(metadata: &Metadata, here: u32) -> io::Result<()> {
    judge(metadata.uid(), metadata.mode(), here).map_err(io::Error::other)
}

fn judge(owner: u32, mode: u32, here: u32) -> Result<(), String> {
    if owner != 0 && owner != here {
        return Err(format!("it belongs to user {owner}, who is not to be believed here"));
    }
    if mode & 0o022 != 0 {
        return Err(format!("others may write to it (mode {:03o})", mode & 0o777));
    }
    Ok(())
}

fn may_write(folder: &Path) -> io::Result<()> {
    Ok(nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_oneself_are_believed() {
        assert_eq!(judge(0, 0o100_644, 1000), Ok(()));
        assert_eq!(judge(1000, 0o100_600, 1000), Ok(()));
        assert!(judge(1001, 0o100_644, 1000).unwrap_err().contains("user 1001"));
        assert!(judge(1001, 0o100_644, 0).unwrap_err().contains("user 1001"));
        assert!(judge(0, 0o100_664, 0).unwrap_err().contains("664"));
        assert!(judge(0, 0o041_777, 0).unwrap_err().contains("777"));
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("netlab-state-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("true.journal"), "").unwrap();
        std::os::unix::fs::symlink(folder.join("true.journal"), folder.join("link.journal")).unwrap();
        let followed = open(&folder.join("link.journal"));
        let opened = open(&folder.join("true.journal"));
        fs::remove_dir_all(&folder).unwrap();
        followed.unwrap_err();
        opened.unwrap();
    }
}
