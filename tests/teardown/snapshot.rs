//! Everything a test could leave on the machine, as lines of text.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use netlab::Lab;
use netlab::inspect::OperState;

/// The folders that files may be left in.
pub const FOLDERS: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

/// What the machine has at one moment, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the machine: the host of this lab, and all that is in the cell.
    pub fn take(lab: &Lab) -> Self {
        let mut lines = BTreeSet::new();
        network(lab, &mut lines);
        walk(Path::new("/proc/sys/net"), &mut |path| {
            if let Ok(value) = fs::read_to_string(path) {
                lines.insert(format!("sysctl {} = {}", path.display(), value.trim()));
            }
        });
        processes(&mut lines);
        for (name, path) in [
            ("mount", "/proc/self/mountinfo"),
            ("lock", "/proc/locks"),
            ("iptables", "/proc/net/ip_tables_names"),
        ] {
            // The last is there only where the old tables are in use.
            let text = fs::read_to_string(path).unwrap_or_default();
            // The number of a lock says how many there are before it.
            lines.extend(
                text.lines()
                    .map(|line| format!("{name} {}", line.split_once(' ').map_or(line, |(_, rest)| rest))),
            );
        }
        for folder in FOLDERS {
            walk(Path::new(folder), &mut |path| {
                lines.insert(format!("file {}", path.display()));
            });
        }
        Self(lines)
    }

    /// What has come (`+`) and what has gone (`-`) since.
    pub fn differences(&self, after: &Self) -> String {
        let gone = self.0.difference(&after.0).map(|line| format!("- {line}\n"));
        let come = after.0.difference(&self.0).map(|line| format!("+ {line}\n"));
        gone.chain(come).collect()
    }

    /// How many lines begin so.
    pub fn count(&self, beginning: &str) -> usize {
        self.0.iter().filter(|line| line.starts_with(beginning)).count()
    }
}

/// Links, addresses, routes and rules, of the host and of what lies around it.
fn network(lab: &Lab, lines: &mut BTreeSet<String>) {
    let dump = lab.dump().expect("the kernel tells what it has");
    for node in &dump.nodes {
        let name = &node.name;
        lines.extend(node.interfaces.iter().map(|link| {
            let mut link = link.clone();
            if link.kind.as_deref() == Some("bridge") {
                // It is up long before it says so.
                link.state = OperState::Unknown;
            }
            format!("link {name}: {link:?}")
        }));
        lines.extend(node.routes.iter().map(|route| format!("route {name}: {route:?}")));
        lines.extend(
            node.rules.iter().enumerate().map(|(number, rule)| format!("rule {name}: {number} {rule}")),
        );
    }
}

/// Every process but this one, and every namespace that a process is in, has a descriptor on, or has mounted.
fn processes(lines: &mut BTreeSet<String>) {
    let own = std::process::id().to_string();
    let link = |path: &str| fs::read_link(path).map(|to| to.to_string_lossy().into_owned());
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if pid != own {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            lines.insert(format!("process {pid} {} {command}", name.trim()));
        }
        for kind in ["net", "mnt", "pid", "user", "uts", "ipc"] {
            if let Ok(inside) = link(&format!("/proc/{pid}/ns/{kind}")) {
                lines.insert(format!("namespace {inside}"));
            }
        }
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let on = link(&fd.path().to_string_lossy()).unwrap_or_default();
            if ["net:", "mnt:", "pid:", "user:"].iter().any(|kind| on.starts_with(kind)) {
                lines.insert(format!("namespace {on}"));
            }
        }
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        for root in
            mounts.lines().filter_map(|line| line.split(' ').nth(3)).filter(|root| root.contains(":["))
        {
            lines.insert(format!("namespace {root}"));
        }
    }
}

/// Calls for everything below a folder; not for what another filesystem has mounted there of ours.
fn walk(folder: &Path, call: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if [super::fixtures::WORKSPACE, super::fixtures::TARGET]
            .iter()
            .any(|mounted| path == Path::new(mounted))
        {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, call);
        }
        call(&path);
    }
}
