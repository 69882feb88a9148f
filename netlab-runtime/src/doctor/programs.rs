//! Programs that only some tests ask for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::check::{Check, Group};
use crate::settings;

pub(super) fn checks() -> Vec<Check> {
    ["iptables", "ip6tables"].into_iter().flat_map(iptables).chain([helpers()]).collect()
}

/// Where a program is: on the search path, or where only root's has it.
fn find(program: &str) -> Option<PathBuf> {
    let path = settings::variable("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// `iptables` is one of two programs, which have rules of their own: the version says which.
fn iptables(program: &str) -> Vec<Check> {
    const WHY: &str = "`firewall=iptables`, and the machine's own firewall in labs with `host real`";
    const MEND: &str = "sudo apt install iptables";
    let missing = |found: String| vec![Check::missing(Group::Firewall, program, WHY, MEND).found(found)];
    let Some(path) = find(program) else { return missing("not installed".to_owned()) };
    let version = match run(&path, "--version") {
        Ok(version) => version,
        Err(error) => return missing(error),
    };
    let version = version.trim().strip_prefix(program).unwrap_or(&version).trim().to_owned();
    let variant = Variant::of(&version);
    vec![Check::ok(Group::Firewall, program, WHY).found(version), variant.other().rules(program)]
}

/// Runs a program to its end, and gives what it wrote.
fn run(program: &Path, argument: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("`{}` fails: {}", program.display(), output.status)),
        Err(error) => Err(format!("`{}`: {error}", program.display())),
    }
}

/// Which of the two programs called `iptables`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Nft,
    Legacy,
}

impl Variant {
    fn of(version: &str) -> Self {
        // Before 1.8 there was only the one.
        if version.contains("nf_tables") { Self::Nft } else { Self::Legacy }
    }

    fn other(self) -> Self {
        match self {
            Self::Nft => Self::Legacy,
            Self::Legacy => Self::Nft,
        }
    }

    /// Whether this variant, which is not what `program` is, holds rules all the same.
    fn rules(self, program: &str) -> Check {
        const WHY: &str = "the rules of both variants act, and a look at one does not show the other's";
        let variant = match self {
            Self::Nft => format!("{program}-nft"),
            Self::Legacy => format!("{program}-legacy"),
        };
        let note = |found: String| Check::note(Group::Firewall, &variant, WHY).found(found);
        let Some(save) = find(&format!("{variant}-save")) else { return note("not installed".to_owned()) };
        if !geteuid().is_root() {
            return note("installed; only root can see its rules".to_owned());
        }
        // To ask the legacy program is to load its modules: only where they are loaded.
        let tables = match program {
            "iptables" => "/proc/net/ip_tables_names",
            _ => "/proc/net/ip6_tables_names",
        };
        if self == Self::Legacy && fs::read_to_string(tables).unwrap_or_default().trim().is_empty() {
            return note("holds no rules".to_owned());
        }
        match run(&save, "-c") {
            Ok(text) => match text.lines().filter(|line| line.contains("-A ")).count() {
                0 => note("holds no rules".to_owned()),
                1 => note("holds a rule, beside those of the other".to_owned()),
                count => note(format!("holds {count} rules, beside those of the other")),
            },
            Err(error) => note(error),
        }
    }
}

fn helpers() -> Check {
    const WHY: &str = "give an ordinary user's sandboxes more than one user";
    let missing: Vec<_> =
        ["newuidmap", "newgidmap"].into_iter().filter(|program| find(program).is_none()).collect();
    if missing.is_empty() {
        return Check::ok(Group::Kernel, "newuidmap, newgidmap", WHY);
    }
    let check = if geteuid().is_root() {
        Check::note(Group::Kernel, "newuidmap, newgidmap", WHY)
    } else {
        Check::missing(Group::Kernel, "newuidmap, newgidmap", WHY, "sudo apt install uidmap")
    };
    check.found("not installed")
}

#[cfg(test)]
mod tests {
    use super::Variant;

    #[test]
    fn the_version_says_which_variant_it_is() {
        assert_eq!(Variant::of("v1.8.9 (nf_tables)"), Variant::Nft);
        assert_eq!(Variant::of("v1.8.9 (legacy)"), Variant::Legacy);
        assert_eq!(Variant::of("v1.6.1"), Variant::Legacy);
    }
}
