//! Which name servers a node asks.
//!
//! A node's `/etc/resolv.conf` is a file of its own, laid over the machine's in its view alone.
//!
//! # Teardown
//!
//! The kernel drops the mounts with the view, and the file with its last mount.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::endpoint::{self, ToDestination};
use super::{LabError, Node};
use crate::sys::namespace;

const FILE: &str = "/etc/resolv.conf";
/// Where the file is made before it is laid over: in a `tmpfs` on a directory that is everywhere, for that moment.
const STAGE: &str = "/sys";
/// What a resolver asks at most (resolv.conf(5)).
const MOST: usize = 3;

impl Node {
    /// Makes these the name servers of the node, in the place of what it had: `node.set_name_servers(["10.0.0.53"])`, or
    /// `[&dns]` for the addresses of a node, nearest first. Resolvers ask up to three.
    ///
    /// Programs and runtimes see it when they next read `/etc/resolv.conf`; glibc looks before each question. A node that is not told otherwise has
    /// no name server. The file of the host is that of all nodes that have none of their own.
    ///
    /// By hand: a file in `/etc/netns/NODE/resolv.conf`.
    ///
    /// # Errors
    ///
    /// A name is not known, or the machine has no `/etc/resolv.conf` to lay another over.
    pub fn set_name_servers<T: ToDestination>(
        &self,
        servers: impl IntoIterator<Item = T>,
    ) -> Result<(), LabError> {
        let error = |error| LabError::io(format!("node `{}`: its name servers", self.name()), error);
        let mut addrs = Vec::new();
        for server in servers {
            addrs.extend(endpoint::resolve_blocking(self, &server.to_destination()).map_err(error)?);
        }
        let text = file(&addrs);
        let entry = self.state().entry(self.index()).map_err(error)?;
        let is_host = self.index() == 0;
        namespace::on_thread(self.name(), || {
            entry.enter()?;
            if is_host { rewrite(&text) } else { lay_over(&text) }
        })
        .flatten()
        .map_err(error)
    }
}

fn file(addrs: &[IpAddr]) -> String {
    let mut text = "# made by netlab\n".to_owned();
    for addr in addrs.iter().take(MOST) {
        writeln!(text, "nameserver {addr}").expect("a string takes all that is written to it");
    }
    text
}

/// Lays a file of its own over the node's, in the calling thread's view.
fn lay_over(text: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if !Path::new(FILE).exists() {
        return Err(missing());
    }
    mount(Some("netlab"), STAGE, Some("tmpfs"), flags, Some("mode=755"))?;
    let path = Path::new(STAGE).join("resolv.conf");
    let laid = fs::write(&path, text)
        .and_then(|()| Ok(mount(Some(&path), FILE, None::<&str>, MsFlags::MS_BIND, None::<&str>)?));
    umount2(STAGE, MntFlags::MNT_DETACH)?;
    laid
}

/// Writes the sandbox's own file, and only that: the machine's is not ours.
fn rewrite(text: &str) -> io::Result<()> {
    let target = fs::canonicalize(FILE).map_err(|_missing| missing())?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // Fields of proc_pid_mountinfo(5): the fifth is the mount point, the second after the hyphen the source.
    let ours = mounts.lines().filter_map(|line| line.split_once(" - ")).any(|(mount, kind)| {
        let point = mount.split(' ').nth(4).map(Path::new);
        point == Some(&target) && kind.split(' ').nth(1) == Some("netlab")
    });
    if !ours {
        return Err(io::Error::other(format!(
            "`{}` is the machine's own and stays as it is",
            target.display()
        )));
    }
    fs::write(target, text)
}

fn missing() -> io::Error {
    io::Error::other(format!(
        "the machine has no `{FILE}` to lay another over; create it, an empty one will do"
    ))
}
