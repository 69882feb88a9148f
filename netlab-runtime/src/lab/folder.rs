//! The folder of a lab: files for its programs, and what they say.
//!
//! It is on a `tmpfs` in the sandbox's own mount namespace, which nobody outside can see.
//!
//! # Teardown
//!
//! The kernel drops it with the sandbox.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::mount::{MsFlags, mount};

/// Directories that are everywhere and usually empty. The first that is has nothing to hide when the `tmpfs` lies on it.
const PLACES: [&str; 5] = ["/srv", "/mnt", "/media", "/opt", "/dev/shm"];

/// The folder of one lab.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes a folder. The first of a process has the `tmpfs` mounted, which only views made afterwards show.
    pub(super) fn make() -> io::Result<Self> {
        static LABS: AtomicUsize = AtomicUsize::new(1);
        let mount = mounted()?;
        let name = match LABS.fetch_add(1, Ordering::Relaxed) {
            1 => "netlab".to_owned(),
            // A second lab in one test.
            count => format!("netlab-{count}"),
        };
        let root = mount.join(name);
        for part in [&root, &root.join("nodes"), &root.join("logs"), &root.join("run")] {
            fs::create_dir(part)?;
        }
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a node. Anybody in the sandbox may write to it: programs may run as other users.
    pub(super) fn of_node(&self, node: &str) -> io::Result<PathBuf> {
        let path = self.root.join("nodes").join(node);
        match fs::create_dir(&path) {
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(path)
    }

    /// Where the log of a program goes.
    pub(super) fn log_of(&self, node: &str, program: &str) -> PathBuf {
        self.root.join("logs").join(format!("{node}.{program}.log"))
    }

    /// Where a program's notifications go (sd_notify(3)).
    pub(super) fn notify_socket_of(&self, node: &str, program: &str) -> PathBuf {
        self.root.join("run").join(format!("{node}.{program}.notify"))
    }
}

/// The `tmpfs` of this process. Whoever comes first is among the process's own mounts, since every view of a node is made after
/// this.
fn mounted() -> io::Result<&'static Path> {
    static MOUNTED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let mounted = MOUNTED.get_or_init(|| mount_somewhere().map_err(|error| error.to_string()));
    mounted.as_deref().map_err(|error| io::Error::other(error.clone()))
}

fn mount_somewhere() -> io::Result<PathBuf> {
    let place = choose(PLACES.iter().map(Path::new))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("netlab"), place, Some("tmpfs"), safe, Some("mode=755"))?;
    Ok(place.to_owned())
}

/// The first of these that hides nothing when something lies on it.
fn choose<'a>(places: impl Iterator<Item = &'a Path> + Clone) -> io::Result<&'a Path> {
    places.clone().find(|place| is_empty_directory(place)).ok_or_else(|| {
        let places: Vec<_> = places.map(|place| place.display().to_string()).collect();
        io::Error::other(format!(
            "it needs an empty directory to lie on, and none of {} is one: `mkdir {}`, or empty one of them",
            places.join(", "),
            places[0]
        ))
    })
}

fn is_empty_directory(path: &Path) -> bool {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    is_directory && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ever_hidden() {
        let base = std::env::temp_dir().join(format!("netlab-folder-{}", std::process::id()));
        let [missing, full, link, empty] = ["missing", "full", "link", "empty"].map(|name| base.join(name));
        fs::create_dir_all(full.join("inside")).unwrap();
        fs::create_dir(&empty).unwrap();
        std::os::unix::fs::symlink(&empty, &link).unwrap();
        let places = [&missing, &full, &link, &empty].map(PathBuf::as_path);
        assert_eq!(choose(places.into_iter()).unwrap(), empty);
        let error = choose(places[..3].iter().copied()).unwrap_err().to_string();
        assert!(error.contains("missing, ") && error.contains("is one: `mkdir "), "{error}");
        fs::remove_dir_all(base).unwrap();
    }
}
