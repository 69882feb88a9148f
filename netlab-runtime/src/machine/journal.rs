//! The journal of a run: what it changed on the machine, and how each change is undone.
//!
//! One line of JSON for each: the header, then changes and, when they are undone, that they are. A line counts once it has its
//! end: what was being written when the machine stopped was not carried out, since that waits until the line is on disk.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;
use serde::{Deserialize, Serialize};

use super::identity::MachineId;
use super::owner::Owner;
use super::undo::Undo;

/// The version of the format; another is not understood.
pub(super) const VERSION: u32 = 1;

/// Whose journal it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) version: u32,
    /// The run's name, which stands in the names of all that it makes on the machine.
    pub(super) run: String,
    pub(super) boot: String,
    pub(super) machine: MachineId,
    pub(super) owner: Owner,
    pub(super) uid: u32,
    /// When it began, in seconds since 1970.
    pub(super) since: u64,
    pub(super) test: String,
    pub(super) binary: PathBuf,
    /// The folder of its pins.
    pub(super) pins: PathBuf,
}

/// One change, with its undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The operation, as the equivalent command.
    pub(super) what: String,
    pub(super) undo: Undo,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Run(Header),
    Change(Change),
    /// The change of this number is undone.
    Undone(usize),
}

/// A journal as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) header: Header,
    pub(super) changes: Vec<Change>,
    pub(super) undone: BTreeSet<usize>,
    /// Whole lines that make no sense, counted from 1.
    pub(super) damaged: Vec<usize>,
}

/// Makes a journal; its file must not exist. It has its name only once it has its header: a run that is killed on the way leaves
/// no file that says nothing.
pub(super) fn create(path: &Path, header: &Header) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file =
        OpenOptions::new().read(true).append(true).mode(0o644).custom_flags(libc::O_TMPFILE).open(folder)?;
    write(&mut file, &[Line::Run(header.clone())])?;
    // As open(2) has it for who lacks CAP_DAC_READ_SEARCH.
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
    // The name has to be on disk as well.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Adds changes, and returns when they are on disk.
pub(super) fn add(file: &mut File, changes: Vec<Change>) -> io::Result<()> {
    let lines: Vec<_> = changes.into_iter().map(Line::Change).collect();
    write(file, &lines)
}

/// Notes that a change is undone.
pub(super) fn add_undone(file: &mut File, number: usize) -> io::Result<()> {
    write(file, &[Line::Undone(number)])
}

fn write(file: &mut File, lines: &[Line]) -> io::Result<()> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    // One system call: it is there as a whole, or torn at its end.
    file.write_all(&text)?;
    file.sync_data()
}

/// Reads a journal; none that has no whole header, and so belongs to a run that had changed nothing.
pub(super) fn read(file: &mut File) -> io::Result<Option<Contents>> {
    file.seek(SeekFrom::Start(0))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    parse(&text)
}

fn parse(text: &[u8]) -> io::Result<Option<Contents>> {
    // Behind the last end of a line there is nothing, or what was torn.
    let mut lines: Vec<_> = text.split(|&byte| byte == b'\n').collect();
    lines.pop();
    let mut lines = lines.into_iter().enumerate();
    let header = match lines.next() {
        None => return Ok(None),
        Some((_, line)) => match serde_json::from_slice(line) {
            Ok(Line::Run(header)) if header.version == VERSION => header,
            Ok(Line::Run(header)) => {
                return Err(io::Error::other(format!(
                    "it is of another version of netlab ({})",
                    header.version
                )));
            }
            _ => return Err(io::Error::other("it does not begin as a journal does")),
        },
    };
    let mut contents = Contents { header, changes: Vec::new(), undone: BTreeSet::new(), damaged: Vec::new() };
    for (number, line) in lines {
        match serde_json::from_slice(line) {
            Ok(Line::Change(change)) => contents.changes.push(change),
            Ok(Line::Undone(number)) => {
                contents.undone.insert(number);
            }
            Ok(Line::Run(_)) | Err(_) => contents.damaged.push(number + 1),
        }
    }
    Ok(Some(contents))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::machine) fn header() -> Header {
        Header {
            version: VERSION,
            run: "k3x9".to_owned(),
            boot: "b".to_owned(),
            machine: MachineId { device: 4, inode: 42, cookie: Some(7) },
            owner: Owner::here().unwrap(),
            uid: 1000,
            since: 1_700_000_000,
            test: "suite::d1".to_owned(),
            binary: PathBuf::from("/target/debug/suite"),
            pins: PathBuf::from("/run/netlab/k3x9"),
        }
    }

    fn change(key: &str) -> Change {
        let undo = Undo::Sysctl { key: key.to_owned(), was: "0".to_owned(), set: "1".to_owned() };
        Change { what: format!("sysctl -w {key}=1"), undo }
    }

    fn text(lines: &[Line]) -> Vec<u8> {
        lines.iter().flat_map(|line| [serde_json::to_vec(line).unwrap(), b"\n".to_vec()].concat()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("netlab-journal-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("x.journal");
        let mut file = create(&path, &header()).unwrap();
        add(&mut file, vec![change("a"), change("b")]).unwrap();
        add(&mut file, vec![change("c")]).unwrap();
        add_undone(&mut file, 2).unwrap();
        let read = read(&mut file).unwrap().unwrap();
        let taken = create(&path, &header()).unwrap_err();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read.header, header());
        assert_eq!(read.changes, ["a", "b", "c"].map(change));
        assert_eq!(read.undone, BTreeSet::from([2]));
        assert_eq!(read.damaged, Vec::<usize>::new());
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_torn_line_was_not_carried_out() {
        let whole = text(&[Line::Run(header()), Line::Change(change("a")), Line::Change(change("b"))]);
        let first_two = text(&[Line::Run(header()), Line::Change(change("a"))]).len();
        for length in first_two..whole.len() {
            let read = parse(&whole[..length]).unwrap().unwrap();
            assert_eq!((read.changes, read.damaged), (vec![change("a")], vec![]), "{length}");
        }
        for length in 0..text(&[Line::Run(header())]).len() {
            assert_eq!(parse(&whole[..length]).unwrap(), None, "{length}");
        }
    }

    #[test]
    fn a_damaged_line_hides_no_other() {
        let mut journal = text(&[Line::Run(header()), Line::Change(change("a"))]);
        journal.extend(b"\0\0\0\n");
        journal.extend(text(&[Line::Change(change("b"))]));
        let read = parse(&journal).unwrap().unwrap();
        assert_eq!(read.changes, ["a", "b"].map(change));
        assert_eq!(read.damaged, [3]);
    }

    #[test]
    fn a_journal_of_another_version_is_none_to_act_on() {
        let journal = text(&[Line::Run(Header { version: VERSION + 1, ..header() })]);
        assert!(parse(&journal).unwrap_err().to_string().contains("another version"));
    }
}
