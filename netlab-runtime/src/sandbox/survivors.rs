//! Whether anything of a finished sandbox is still there, and who keeps it.
//!
//! The kernel takes a namespace down when the last process in it, the last descriptor on it and the last mount of it are gone. The
//! processes of a sandbox are dead when its init is reaped; but a descriptor may have been handed out of it, and a process of the
//! machine may have gone in. Every process that may be looked at is asked by inode, as in `/proc/PID/ns/net`.
//!
//! Invariant: what is looked for is held by this process meanwhile, since the kernel gives a free inode to the next namespace.
//!
//! Not seen: processes of other users, unless this one is root; sockets of a node that were handed out; descriptors on their way
//! through a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};

/// How long something may still be held before that is a leak: whoever lists namespaces, and every process between `fork` and `exec`,
/// holds some for a moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// A namespace of a sandbox, held.
#[derive(Debug)]
pub(super) struct Held {
    /// Whose it was: a test.
    test: &'static str,
    /// What it is, as in "the network of node `red`".
    what: String,
    /// As links in `/proc` name it: `net:[4026532201]`.
    link: String,
    /// Whether it is a network, to be let go with others.
    network: bool,
    #[expect(dead_code, reason = "it is held, not used")]
    fd: OwnedFd,
}

impl Held {
    /// The network of a node.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub(super) fn network(test: &'static str, node: &str, fd: OwnedFd) -> io::Result<Self> {
        Self::new(test, format!("the network of node `{node}`"), true, fd)
    }

    /// What a sandbox's init has of its own. Nothing where `/proc` does not show it, as when the binary may be executed but not read.
    pub(super) fn of_init(test: &'static str, pid: i32) -> Vec<Self> {
        [("pid", "its processes"), ("mnt", "its mounts")]
            .into_iter()
            .filter_map(|(kind, what)| {
                let fd = File::open(format!("/proc/{pid}/ns/{kind}")).ok()?;
                Self::new(test, what.to_owned(), false, fd.into()).ok()
            })
            .collect()
    }

    fn new(test: &'static str, what: String, network: bool, fd: OwnedFd) -> io::Result<Self> {
        let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        Ok(Self { test, what, link: link.to_string_lossy().into_owned(), network, fd })
    }

    /// The test it was of.
    pub(super) fn test(&self) -> &'static str {
        self.test
    }

    /// Whether it is a network.
    pub(super) fn is_network(&self) -> bool {
        self.network
    }
}

/// Something of a finished sandbox that is still there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Survivor {
    /// The test it is left of.
    pub test: &'static str,
    /// What it is.
    pub what: String,
    /// Its inode, as links in `/proc` name it.
    pub link: String,
    /// Who keeps it, and how.
    pub holder: String,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) is kept by {}", self.what, self.link, self.holder)
    }
}

/// How a process keeps a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    In,
    Descriptor(String),
    Mount(String),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In => write!(f, "which is in it"),
            Self::Descriptor(number) => write!(f, "whose descriptor {number} is on it"),
            Self::Mount(path) => write!(f, "which has it mounted at `{path}`"),
        }
    }
}

/// Looks for whoever keeps one of these, and waits a while for them to let go.
pub(super) fn find(held: &[Held]) -> Vec<Survivor> {
    let wanted: BTreeMap<&str, &Held> = held.iter().map(|held| (held.link.as_str(), held)).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut suspects = processes();
    loop {
        let mut mounts = BTreeSet::new();
        let mut survivors = BTreeSet::new();
        suspects.retain(|pid| {
            let keeps = kept_by(pid, &wanted, &mut mounts);
            let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            survivors.extend(keeps.iter().map(|(link, way)| Survivor {
                test: wanted[link.as_str()].test,
                what: wanted[link.as_str()].what.clone(),
                link: link.clone(),
                holder: format!("process {pid} (`{}`), {way}", name().trim()),
            }));
            !keeps.is_empty()
        });
        if survivors.is_empty() || Instant::now() >= deadline {
            return survivors.into_iter().collect();
        }
        // A moment for those few to go on; there is nothing to be woken by. An interruption is as good as its end.
        if poll(&mut [], PollTimeout::from(5_u8)).is_err() {
            std::thread::yield_now();
        }
    }
}

/// The processes that are there, this one included.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// What of this a process keeps, if it may be looked at. Of mount namespaces that several share one is read: `seen` are those that were.
fn kept_by(pid: &str, wanted: &BTreeMap<&str, &Held>, seen: &mut BTreeSet<String>) -> Vec<(String, Way)> {
    let mut keeps = Vec::new();
    let Some(mounts) = link(&format!("/proc/{pid}/ns/mnt")) else { return keeps };
    // What this process holds it holds on purpose.
    if pid != std::process::id().to_string() {
        for inside in [mounts.clone()].into_iter().chain(namespaces(pid)) {
            if wanted.contains_key(inside.as_str()) && !keeps.contains(&(inside.clone(), Way::In)) {
                keeps.push((inside, Way::In));
            }
        }
        for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            if let Ok(on) = fs::read_link(descriptor.path())
                && let Some((on, _)) = on.to_str().and_then(|on| wanted.get_key_value(on))
            {
                let number = descriptor.file_name().to_string_lossy().into_owned();
                keeps.push(((*on).to_owned(), Way::Descriptor(number)));
            }
        }
    }
    if seen.insert(mounts) {
        let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        keeps.extend(mounted(&text, wanted));
    }
    keeps
}

/// The networks of a process's threads, and where its processes are.
fn namespaces(pid: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let networks = tasks.filter_map(|task| link(&format!("{}/ns/net", task.path().display())));
    networks.chain(link(&format!("/proc/{pid}/ns/pid"))).collect()
}

fn link(path: &str) -> Option<String> {
    fs::read_link(path).ok()?.into_os_string().into_string().ok()
}

/// The namespaces among the mounts of a `mountinfo` (proc_pid_mountinfo(5)): their link is the mount's root within its filesystem.
fn mounted(mountinfo: &str, wanted: &BTreeMap<&str, &Held>) -> Vec<(String, Way)> {
    let fields = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    });
    fields
        .filter(|(root, _)| wanted.contains_key(root))
        .map(|(root, path)| (root.to_owned(), Way::Mount(path.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// This process's own network stands for one that is left.
    fn own() -> Held {
        Held::network("a test", "red", File::open("/proc/self/ns/net").unwrap().into()).unwrap()
    }

    #[test]
    fn who_keeps_a_namespace_is_named() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let wanted = own();
        let wanted = BTreeMap::from([(wanted.link.as_str(), &wanted)]);
        let keeps = kept_by(&child.id().to_string(), &wanted, &mut BTreeSet::new());
        assert!(keeps.iter().any(|(_, way)| *way == Way::In), "{keeps:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(kept_by(&child.id().to_string(), &wanted, &mut BTreeSet::new()), []);
    }

    #[test]
    fn mounts_of_namespaces_are_recognised() {
        let held = own();
        let wanted = BTreeMap::from([(held.link.as_str(), &held)]);
        let text = format!(
            "300 28 0:4 {} /run/netns/red rw shared:9 - nsfs nsfs rw\n301 28 0:4 net:[1] /run/x rw - nsfs nsfs rw\n",
            held.link
        );
        assert_eq!(mounted(&text, &wanted), [(held.link.clone(), Way::Mount("/run/netns/red".to_owned()))]);
    }

    #[test]
    fn a_survivor_reads_well() {
        let survivor = Survivor {
            test: "a test",
            what: "the network of node `red`".to_owned(),
            link: "net:[4026532201]".to_owned(),
            holder: format!("process 47 (`nc`), {}", Way::Descriptor("5".to_owned())),
        };
        assert_eq!(
            survivor.to_string(),
            "the network of node `red` (net:[4026532201]) is kept by process 47 (`nc`), whose descriptor 5 is on it"
        );
    }
}
