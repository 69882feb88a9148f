//! Firewalls changed with the program `iptables`, through the crate of that name.
//!
//! Which of its two kinds (nf_tables, legacy) the machine uses is for its owner to say: what `iptables` is, is taken, and
//! noted, so that the undo is done with the same, should that change meanwhile.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;

use iptables::IPTables;
use netlab_topology::plan::{Family, Hook, Iptables, Table};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use crate::settings;

/// Variable and value that have `iptables-legacy` use a lock of the network namespace it is in, rather than the machine's file
/// `/run/xtables.lock`, which an ordinary user may not open: for sandboxes that do not touch the machine.
pub(crate) const PRIVATE_LOCK: (&str, &str) = ("XTABLES_LOCKFILE", "/proc/self/ns/net");

/// Folders of programs that are only root's to call, and not on every user's path.
const FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The longest name of a chain (`XT_EXTENSION_MAXNAMELEN`, less its zero byte).
const LONGEST: usize = 28;

/// A program of the family `iptables`, for one kind and one address family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Program(PathBuf);

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.file_name().unwrap_or(self.0.as_os_str());
        write!(f, "{}", name.display())
    }
}

impl Program {
    /// The program that `iptables` (`ip6tables`) is here.
    pub(super) fn find(family: Family) -> io::Result<Self> {
        let name = Iptables::program(family);
        let Some(path) = search(name) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "the program `{name}` is needed and not here; it is in Debian's and Ubuntu's package `iptables`"
                ),
            ));
        };
        let kind = kind(name, &std::process::Command::new(&path).arg("--version").output()?)?;
        Ok(Self(search(&format!("{name}-{kind}")).unwrap_or(path)))
    }

    /// Runs it, waiting for its lock, and gives what it wrote, or what it refused. That it was killed says neither.
    fn run(&self, table: &str, command: &str) -> io::Result<Result<String, String>> {
        let output = self.crate_s()?.execute(table, command);
        let Output { status, stdout, stderr } = output.map_err(io_error)?;
        if status.code().is_none() {
            return Err(io::Error::other(format!("`{self} -t {table} {command}`: {status}")));
        }
        Ok(if status.success() {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&stderr);
            Err(format!("`{self} -t {table} {command}`: {}", said.trim()))
        })
    }

    /// As [`run`](Self::run), where that it did not succeed is an error.
    pub(super) fn must(&self, table: &str, command: &str) -> io::Result<String> {
        self.run(table, command)?.map_err(io::Error::other)
    }

    /// The rules of a table, as arguments of the program, those of one chain or of all.
    fn rules(&self, table: &str) -> io::Result<Vec<String>> {
        Ok(self.must(table, "-S")?.lines().map(str::to_owned).collect())
    }

    fn crate_s(&self) -> io::Result<IPTables> {
        Ok(IPTables { cmd: lasting(&self.0)?, has_check: true, has_wait: true, is_numeric: true })
    }
}

/// Which kind a program is, by what it said of its version: `iptables v1.8.9 (nf_tables)`. Up to 1.6 there was nothing in
/// parentheses, and only the legacy kind.
///
/// One that was killed before it said anything is of no kind: what the other kind would then do is not what undoes it.
fn kind(name: &str, output: &Output) -> io::Result<&'static str> {
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.starts_with(&format!("{name} v")) {
        let error = String::from_utf8_lossy(&output.stderr);
        let said = format!("{said}{error}");
        let status = output.status;
        return Err(io::Error::other(format!(
            "`{name} --version` does not say its version, but `{}` ({status})",
            said.trim()
        )));
    }
    Ok(if said.contains("nf_tables") { "nft" } else { "legacy" })
}

/// The crate wants paths that last as long as the program; each is made so once.
fn lasting(path: &Path) -> io::Result<&'static str> {
    static KNOWN: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let path = path.to_str().ok_or_else(|| io::Error::other(format!("`{}` is no text", path.display())))?;
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(lasting) = known.iter().find(|known| **known == path) {
        return Ok(lasting);
    }
    known.push(path.to_owned().leak());
    Ok(known[known.len() - 1])
}

#[expect(clippy::needless_pass_by_value, reason = "it is given so")]
fn io_error(error: Box<dyn std::error::Error>) -> io::Error {
    match error.downcast_ref::<io::Error>() {
        Some(error) => io::Error::new(error.kind(), error.to_string()),
        None => io::Error::other(error.to_string()),
    }
}

fn search(name: &str) -> Option<PathBuf> {
    let path = settings::variable("PATH").unwrap_or_default();
    let folders = path.split(':').filter(|folder| folder.starts_with('/')).chain(FOLDERS);
    folders.map(|folder| Path::new(folder).join(name)).find(|path| {
        path.is_file()
            && CString::new(path.as_os_str().as_encoded_bytes())
                .is_ok_and(|path| access(path.as_c_str(), AccessFlags::X_OK).is_ok())
    })
}

/// Whose firewall it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firewall<'a> {
    /// The machine's, where the names of chains have that of the run in them.
    OfTheMachine {
        /// The run.
        run: &'a str,
    },
    /// A node's own.
    OfANode,
}

impl Firewall<'_> {
    /// The name of the chain for a hook.
    pub(super) fn chain(self, hook: Hook) -> String {
        let own = Iptables::PREFIX;
        let chain = match self {
            Self::OfTheMachine { run } => format!("{own}-{run}-{}", built_in(hook)),
            Self::OfANode => format!("{own}-{}", built_in(hook)),
        };
        debug_assert!(chain.len() <= LONGEST, "{chain}");
        chain
    }

    /// Makes a change in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The program is not here; what it says.
    pub(crate) fn change(self, change: &Iptables) -> io::Result<()> {
        let (family, table, hook) = parts(change);
        let program = Program::find(family)?;
        let chain = self.chain(hook);
        match change.rule() {
            Some(rule) => program.must(table.name(), &format!("-A {chain} {rule}"))?,
            None => {
                program.must(table.name(), &format!("-N {chain}"))?;
                program.must(table.name(), &format!("-I {} -j {chain}", built_in(hook)))?
            }
        };
        Ok(())
    }
}

pub(super) fn parts(change: &Iptables) -> (Family, Table, Hook) {
    match change {
        Iptables::AddChain { family, table, hook } | Iptables::AddRule { family, table, hook, .. } => {
            (*family, *table, *hook)
        }
    }
}

/// The built-in chain of a hook.
pub(super) fn built_in(hook: Hook) -> String {
    hook.name().to_uppercase()
}

/// What became of something that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is not there any more.
    Gone,
    /// Somebody else changed it, as this says: it was left.
    Left(String),
}

/// Removes a rule from a chain of ours.
pub(super) fn remove_rule(program: &Program, table: &str, chain: &str, rule: &str) -> io::Result<Removed> {
    if !has_chain(&program.rules(table)?, chain) {
        return Ok(Removed::Gone);
    }
    match program.run(table, &format!("-C {chain} {rule}"))? {
        Ok(_) => program.must(table, &format!("-D {chain} {rule}")).map(|_| Removed::Gone),
        Err(_not_there) => Ok(Removed::Gone),
    }
}

/// Removes a chain of ours with the jump to it. Where others put rules into it, or jump to it, it is theirs too, and stays.
pub(super) fn remove_chain(
    program: &Program,
    table: &str,
    built_in: &str,
    chain: &str,
) -> io::Result<Removed> {
    let rules = program.rules(table)?;
    let jump = format!("-A {built_in} -j {chain}");
    if !has_chain(&rules, chain) {
        return Ok(Removed::Gone);
    }
    let own = format!("-A {chain} ");
    if let Some(rule) = rules.iter().find(|rule| rule.starts_with(&own)) {
        return Ok(Removed::Left(format!("somebody else put `{rule}` there")));
    }
    let refers = |rule: &&String| {
        let mut words = rule.split_whitespace().skip_while(|word| !matches!(*word, "-j" | "-g"));
        words.nth(1) == Some(chain) && **rule != jump
    };
    let others = rules.iter().find(refers);
    for _ in rules.iter().filter(|rule| **rule == jump) {
        program.must(table, &format!("-D {built_in} -j {chain}"))?;
    }
    if let Some(rule) = others {
        return Ok(Removed::Left(format!("somebody else jumps to it: `{rule}`")));
    }
    program.must(table, &format!("-X {chain}"))?;
    Ok(Removed::Gone)
}

fn has_chain(rules: &[String], chain: &str) -> bool {
    rules.iter().any(|rule| rule.strip_prefix("-N ") == Some(chain))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_program_that_does_not_say_its_kind_is_not_taken_for_the_legacy_one() {
        let of = |status, said: &str| {
            let (status, stdout) = (ExitStatus::from_raw(status), said.as_bytes().to_vec());
            kind("iptables", &Output { status, stdout, stderr: Vec::new() })
        };
        assert_eq!(of(0, "iptables v1.8.9 (nf_tables)\n").unwrap(), "nft");
        assert_eq!(of(0, "iptables v1.8.9 (legacy)\n").unwrap(), "legacy");
        assert_eq!(of(0, "iptables v1.6.2\n").unwrap(), "legacy");
        // Killed before it said anything, and after.
        let error = of(libc::SIGKILL, "").unwrap_err().to_string();
        assert_eq!(error, "`iptables --version` does not say its version, but `` (signal: 9 (SIGKILL))");
        assert!(of(libc::SIGKILL, "iptables v1.8.9 (nf_tables)\n").is_err());
        assert!(of(0, "").is_err());
    }

    #[test]
    fn names_of_chains_are_no_longer_than_the_kernel_allows() {
        for hook in [Hook::Prerouting, Hook::Output, Hook::Postrouting, Hook::Input, Hook::Forward] {
            let chain = Firewall::OfTheMachine { run: "abc234" }.chain(hook);
            assert!(chain.len() <= LONGEST, "{chain}");
            assert!(chain.ends_with(&built_in(hook)));
        }
        assert_eq!(Firewall::OfANode.chain(Hook::Postrouting), "NETLAB-POSTROUTING");
    }
}
