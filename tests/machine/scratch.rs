//! The machine: what is on it besides its interfaces, and what it looks like.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use netlab::prelude::*;
use nix::mount::{MsFlags, mount};

/// Both families' programs.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];

/// A program that is not installed, if one is.
pub fn missing_program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|name| program(name).is_none())
}

/// Where a program is. An ordinary user's path may lack the folders of those that are root's.
pub fn program(name: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .into_iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

/// To be run by its path.
fn iptables(name: &str) -> Command {
    Command::new(program(name).expect("these tests do not run without"))
}

/// A lab's host, playing the machine.
pub struct Scratch {
    pub lab: Lab,
    before: Snapshot,
}

impl Scratch {
    /// Makes the host of `lab` a machine: a `/run` that may be written to, and a firewall that lets nothing pass.
    pub fn new(lab: Lab) -> netlab::Result<Self> {
        mount(Some("scratch"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
        for program in PROGRAMS {
            docker_and_ufw(program)?;
        }
        // What this lab itself mounts when its nodes are first used is not the nested one's doing.
        lab.nodes().iter().for_each(|node| node.enter(|| ()));
        // Modules of the firewall come with the first use, and sysctls with the modules.
        let before = Snapshot::take(&lab)?;
        Ok(Self { lab, before })
    }

    pub fn far(&self) -> netlab::Result<Node> {
        Ok(self.lab.node("far")?)
    }

    pub fn internet(&self) -> netlab::Result<Node> {
        Ok(self.lab.node("internet")?)
    }

    /// Says how the machine differs from what it was.
    pub fn changes(&self) -> netlab::Result<Changes> {
        Ok(self.before.changes_to(&Snapshot::take(&self.lab)?))
    }

    /// # Panics
    ///
    /// If the machine is not as it was.
    #[track_caller]
    pub fn is_as_it_was(&self) {
        let changes = self.changes().expect("the machine can be looked at");
        assert!(changes.0.is_empty(), "the machine is not as it was:\n{changes}");
    }
}

/// Chains and policies as Docker and ufw set them: nothing passes through, and nothing comes in but answers and, as on any server,
/// what is for port 22.
fn docker_and_ufw(program: &str) -> netlab::Result {
    let echo: &[&str] = match program {
        "iptables" => &["-p", "icmp"],
        // Neighbours have to be found.
        _ => &["-p", "ipv6-icmp"],
    };
    let rules: &[&[&str]] = &[
        &["-N", "DOCKER-USER"],
        &["-A", "DOCKER-USER", "-j", "RETURN"],
        &["-A", "FORWARD", "-j", "DOCKER-USER"],
        &["-P", "FORWARD", "DROP"],
        &["-t", "nat", "-N", "DOCKER"],
        &["-t", "nat", "-A", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER"],
        &["-N", "ufw-before-input"],
        &["-A", "ufw-before-input", "-i", "lo", "-j", "ACCEPT"],
        &["-A", "ufw-before-input", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
        &["-A", "ufw-before-input", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"],
        &["-A", "INPUT", "-j", "ufw-before-input"],
        &["-P", "INPUT", "DROP"],
    ];
    for rule in rules {
        change(program, rule)?;
    }
    change(program, &[&["-A", "ufw-before-input"], echo, &["-j", "ACCEPT"]].concat())
}

/// Changes the machine's firewall, as somebody else would.
pub fn change(program: &str, arguments: &[&str]) -> netlab::Result {
    said(program, arguments).map(drop)
}

/// The rules of a table.
pub fn rules(program: &str, table: &str) -> netlab::Result<String> {
    said(program, &["-t", table, "-S"])
}

fn said(program: &str, arguments: &[&str]) -> netlab::Result<String> {
    let output = iptables(program).args(arguments).env("XTABLES_LOCKFILE", "/proc/self/ns/net").output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(netlab::Error::msg(format!("{program} {}: {said}", arguments.join(" "))))
}

/// Everything a lab could leave behind on the machine, a line each.
#[derive(Debug)]
struct Snapshot(BTreeSet<String>);

/// Lines that are there only before (`-`) or only after (`+`).
#[derive(Debug)]
pub struct Changes(pub Vec<String>);

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Snapshot {
    fn take(lab: &Lab) -> netlab::Result<Self> {
        let host = lab.host();
        let mut seen = BTreeSet::new();
        for it in host.ifaces()? {
            let (index, name) = (it.index, &it.name);
            seen.insert(format!(
                "interface {index} {name} {:?} {:?} mtu {} up {} master {:?}",
                it.kind, it.mac, it.mtu, it.up, it.master
            ));
            seen.extend(it.addrs.iter().map(|addr| format!("address {addr} on {name}")));
        }
        seen.extend(host.routes()?.iter().map(|route| format!("route {route}")));
        for program in PROGRAMS {
            for table in ["filter", "nat"] {
                let listed = rules(program, table)?;
                seen.extend(listed.lines().map(|rule| format!("{program} -t {table} {rule}")));
            }
        }
        sysctls(Path::new("/proc/sys/net"), &mut seen)?;
        files(Path::new("/run"), &mut seen)?;
        seen.extend(
            fs::read_to_string("/proc/self/mountinfo")?.lines().map(|mount| format!("mount {mount}")),
        );
        for entry in fs::read_dir("/proc")? {
            let process = entry?.path();
            let Ok(command) = fs::read_to_string(process.join("comm")) else { continue };
            seen.insert(format!("process {} {}", process.display(), command.trim()));
        }
        Ok(Self(seen))
    }

    fn changes_to(&self, after: &Self) -> Changes {
        let gone = self.0.difference(&after.0).map(|line| format!("- {line}"));
        Changes(gone.chain(after.0.difference(&self.0).map(|line| format!("+ {line}"))).collect())
    }
}

/// All that can be read; some are for writing only.
fn sysctls(folder: &Path, seen: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sysctls(&path, seen)?;
        } else if let Ok(value) = fs::read_to_string(&path) {
            // What the kernel draws at random each time it is asked, and counts.
            if !path.ends_with("stable_secret") && !path.ends_with("nf_conntrack_count") {
                seen.insert(format!("sysctl {}={}", path.display(), value.trim_end()));
            }
        }
    }
    Ok(())
}

fn files(folder: &Path, seen: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // The program's own lock, which stays; and what the tests put there.
        let name = entry.file_name();
        if name == "xtables.lock" || name.to_string_lossy().starts_with("broken-") {
            continue;
        }
        // A folder may stay, empty.
        if path.is_dir() {
            files(&path, seen)?;
        } else {
            seen.insert(format!("file {}", path.display()));
        }
    }
    Ok(())
}
