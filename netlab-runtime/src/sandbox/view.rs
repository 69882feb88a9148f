//! What the worker and its programs see of the machine: their own processes, interfaces, and names.
//!
//! Everything here is a mount in the sandbox's own mount namespace, or a setting of its own namespaces.
//!
//! # Teardown
//!
//! The kernel drops the mounts with the namespace, and the files with their mount: they are on a `tmpfs` that
//! was never visible outside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// What could not be set up: the step and the system's error.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub(super) struct ViewError {
    step: String,
    source: io::Error,
}

trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, ViewError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, ViewError> {
        self.map_err(|error| ViewError { step: step.into(), source: error.into() })
    }
}

/// Where files are made before they are bound to their places; `sysfs` comes to lie here afterwards.
const STAGE: &str = "/sys";

const HARMLESS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Makes the view of the host of an isolated lab: `hosts` becomes the text of `/etc/hosts`.
///
/// What a container refuses (fresh `/proc` and `/sys` in a user namespace, when its own are masked) is told on
/// standard error and done without: then the old ones stay, which show the container's processes and interfaces.
///
/// # Errors
///
/// The step that failed.
pub(super) fn set_up(hosts: &str) -> Result<(), ViewError> {
    nix::unistd::sethostname("host").step("setting the hostname")?;
    mount_all(|| bind_files(hosts))?;
    // Who may open ICMP sockets (`ping`): group 0, which is the worker's.
    tolerate("`net.ipv4.ping_group_range`", fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0"));
    Ok(())
}

/// Makes the view of a host that is the machine itself: it stays as it is, but that the nodes' names, which are the lines
/// of `nodes`, resolve as well.
///
/// # Errors
///
/// The step that failed.
pub(super) fn set_up_on_the_machine(nodes: &str) -> Result<(), ViewError> {
    const HOSTS: &str = "/etc/hosts";
    let machines = match fs::read_to_string(HOSTS) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).step("reading `/etc/hosts`"),
    };
    mount_all(|| bind_file("hosts", &beside(&machines, nodes), Path::new(HOSTS)))
}

/// A fresh `/proc` and `/sys`, and between the two the private files that `bind` lays over the machine's.
fn mount_all(bind: impl FnOnce() -> Result<(), ViewError>) -> Result<(), ViewError> {
    tolerate("a fresh `/proc`", mount_fresh("proc", "/proc"));
    mount(Some("netlab"), STAGE, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .step(format!("`mount -t tmpfs netlab {STAGE}`"))?;
    let files = bind();
    umount2(STAGE, MntFlags::MNT_DETACH).step(format!("`umount {STAGE}`"))?;
    files?;
    tolerate("a fresh `/sys`", mount_fresh("sysfs", "/sys"));
    Ok(())
}

/// The nodes' lines first, since the first address of a name is the one that most resolvers take.
fn beside(machines: &str, nodes: &str) -> String {
    format!("# the lab's\n{nodes}# the machine's\n{machines}")
}

fn tolerate(what: &str, result: Result<(), impl Into<io::Error>>) {
    if let Err(error) = result {
        let error: io::Error = error.into();
        eprintln!("netlab: {what} cannot be had in this sandbox ({error}); the machine's stays");
    }
}

fn mount_fresh(kind: &str, target: &str) -> Result<(), Errno> {
    let with = |flags| mount(Some(kind), target, Some(kind), flags, None::<&str>);
    match with(HARMLESS) {
        // The very one is there already (`do_add_mount` in fs/namespace.c): the machine's, for a host that is the machine.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        // In a user namespace, what was read-only outside must be read-only here (`mount_too_revealing`).
        Err(first) => with(HARMLESS | MsFlags::MS_RDONLY).map_err(|_same| first),
    }
}

fn bind_files(hosts: &str) -> Result<(), ViewError> {
    bind_file("hosts", hosts, Path::new("/etc/hosts"))?;
    // Without a name server, no question leaves the sandbox: resolvers then ask 127.0.0.1, where nobody is
    // unless the test starts one.
    bind_file("resolv.conf", "# made by netlab: no name server\n", Path::new("/etc/resolv.conf"))?;
    match fs::read_to_string("/etc/nsswitch.conf") {
        Ok(text) => bind_file("nsswitch.conf", &only_files(&text), Path::new("/etc/nsswitch.conf"))?,
        // The C library's own default is what we want.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).step("reading `/etc/nsswitch.conf`"),
    }
    hide_nscd()
}

/// Binds a file with this text over `target`, through symbolic links.
fn bind_file(name: &str, text: &str, target: &Path) -> Result<(), ViewError> {
    if !target.exists() {
        return make_missing(text, target);
    }
    let file = Path::new(STAGE).join(name);
    fs::write(&file, text).step(format!("writing a private `{}`", target.display()))?;
    bind(&file, target)
}

fn bind(from: &Path, target: &Path) -> Result<(), ViewError> {
    mount(Some(from), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .step(format!("binding a private file over `{}`", target.display()))
}

/// A missing file, or a link to nowhere, cannot be bound over; the machine's `/etc` must not be written to. So
/// `/etc` becomes an overlay whose upper layer is the stage's `tmpfs` (Linux 5.11 in a user namespace).
fn make_missing(text: &str, target: &Path) -> Result<(), ViewError> {
    // Resolvers do as well without `resolv.conf` as with an empty one; only names in `/etc/hosts` are needed.
    if target != Path::new("/etc/hosts") {
        return Ok(());
    }
    let layer = |name: &str| -> Result<PathBuf, ViewError> {
        let path = Path::new(STAGE).join(name);
        fs::create_dir(&path).step("making a layer over `/etc`")?;
        Ok(path)
    };
    let (upper, work) = (layer("upper")?, layer("work")?);
    fs::write(upper.join("hosts"), text).step("writing a private `/etc/hosts`")?;
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    let overlay =
        |options: &str| mount(Some("netlab"), "/etc", Some("overlay"), MsFlags::empty(), Some(options));
    let overlaid = overlay(&format!("{options},userxattr")).or_else(|_old| overlay(&options));
    overlaid
        .step("`/etc/hosts` is missing, and laying one over `/etc`; create the file, an empty one will do")
}

/// The text of `nsswitch.conf` with host names looked up in `/etc/hosts` and by DNS, and nowhere else.
fn only_files(text: &str) -> String {
    let others = text.lines().filter(|line| !line.trim_start().starts_with("hosts:"));
    others.chain(["hosts: files dns"]).flat_map(|line| [line, "\n"]).collect()
}

/// A name service cache of the machine would answer from the machine's network.
fn hide_nscd() -> Result<(), ViewError> {
    let mut hidden: Vec<PathBuf> = Vec::new();
    for directory in ["/run/nscd", "/var/run/nscd"] {
        let Ok(path) = fs::canonicalize(directory) else { continue };
        if hidden.contains(&path) {
            continue;
        }
        let empty = Path::new(STAGE).join("empty");
        if !empty.exists() {
            fs::create_dir(&empty).step("making an empty directory")?;
        }
        bind(&empty, &path)?;
        hidden.push(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_names_stay_beside_the_labs() {
        assert_eq!(
            beside("127.0.0.1 localhost\n", "192.0.2.1 red\n"),
            "# the lab's\n192.0.2.1 red\n# the machine's\n127.0.0.1 localhost\n"
        );
    }

    #[test]
    fn only_the_line_of_hosts_changes() {
        let text = "passwd: files systemd\nhosts: files resolve [!UNAVAIL=return] dns\n# end";
        assert_eq!(only_files(text), "passwd: files systemd\n# end\nhosts: files dns\n");
        assert_eq!(only_files(""), "hosts: files dns\n");
    }
}
