//! Who listens where in a node, and whose that is.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::Look;
use crate::kernel::inspect::{Protocol, Socket};
use crate::lab::program::marker;

/// The sockets of the program that listen on a port; if there are none, what is seen instead.
pub(super) fn look(look: &mut Look<'_>, protocol: Protocol, port: u16) -> Result<Vec<Socket>, String> {
    let sockets =
        look.sockets().map_err(|error| format!("who listens in the node cannot be known: {error}"))?;
    let listening: Vec<_> = sockets.into_iter().filter(Socket::listens).collect();
    let of_port: Vec<_> = listening
        .iter()
        .filter(|socket| socket.protocol == protocol && socket.local.port() == port)
        .cloned()
        .collect();
    let owners = Owners::find(look);
    if of_port.is_empty() {
        return Err(format!("nothing listens on {port}/{protocol}; {}", enumerate(&listening, &owners)));
    }
    // Where it cannot be known whose it is, it is taken for the program's.
    let ours: Vec<_> = of_port.iter().filter(|socket| owners.of(socket) != Owner::Other).cloned().collect();
    if ours.is_empty() {
        let others: Vec<_> = of_port.iter().map(|socket| owners.name(socket)).collect();
        return Err(format!(
            "{port}/{protocol} is listened on, but by {}, which it did not start; {}",
            others.join(", "),
            enumerate(&listening, &owners)
        ));
    }
    Ok(ours)
}

fn enumerate(listening: &[Socket], owners: &Owners) -> String {
    if listening.is_empty() {
        return "nothing does in the node".to_owned();
    }
    let all: Vec<_> = listening
        .iter()
        .map(|socket| format!("{}/{} ({})", socket.local, socket.protocol, owners.name(socket)))
        .collect();
    format!("in the node, these do: {}", all.join(", "))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Program,
    Other,
    Unknown,
}

/// Who holds which socket, by inode: processes with their names, and whether they are of the program.
#[derive(Debug, Default)]
struct Owners(BTreeMap<u32, Vec<(u32, String, bool)>>);

impl Owners {
    /// Looks through the descriptors of all processes. What cannot be read is not known.
    fn find(look: &Look<'_>) -> Self {
        let mut owners = Self::default();
        // A container may have refused the sandbox a `/proc` of its own, and process ids there mean others.
        let own = fs::read_link("/proc/self").ok();
        if own.and_then(|own| own.to_str()?.parse().ok()) != Some(std::process::id()) {
            return owners;
        }
        let Ok(processes) = fs::read_dir("/proc") else { return owners };
        for process in processes.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let inodes = sockets_of(pid).unwrap_or_default();
            if inodes.is_empty() {
                continue;
            }
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let ours = is_of_the_program(pid, look);
            for inode in inodes {
                owners.0.entry(inode).or_default().push((pid, name.trim_end().to_owned(), ours));
            }
        }
        owners
    }

    fn of(&self, socket: &Socket) -> Owner {
        match self.0.get(&socket.inode) {
            None => Owner::Unknown,
            Some(holders) if holders.iter().any(|(.., ours)| *ours) => Owner::Program,
            Some(_) => Owner::Other,
        }
    }

    fn name(&self, socket: &Socket) -> String {
        match (self.of(socket), self.0.get(&socket.inode).and_then(|holders| holders.first())) {
            (Owner::Program, _) => "this program".to_owned(),
            (_, Some((pid, ..))) if *pid == std::process::id() => "the test itself".to_owned(),
            (_, Some((pid, name, _))) => format!("process {pid}, `{name}`"),
            (_, None) => "a process that cannot be known".to_owned(),
        }
    }
}

/// The inodes of a process's sockets.
fn sockets_of(pid: u32) -> io::Result<Vec<u32>> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let inode =
        |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Ok(links.filter_map(inode).collect())
}

/// Whether a process is the program or of its group, or a descendant: one that was handed on to init by its parent's end has
/// the program's mark in its environment still.
fn is_of_the_program(pid: u32, look: &Look<'_>) -> bool {
    let leader = look.program.pid();
    let mut next = Some(pid);
    while let Some(pid) = next {
        let status = Stat::read(pid);
        if pid == leader || status.is_some_and(|status| status.group == leader) {
            return true;
        }
        next = status.map(|status| status.parent).filter(|parent| *parent > 1);
    }
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let mark = format!("NETLAB_PROGRAM={}", marker(look.node.name(), look.name));
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    group: u32,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `pid (name) state parent group ...`, and the name may have anything in it (proc_pid_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let (_, after) = text.rsplit_once(") ")?;
        let mut fields = after.split(' ').skip(1);
        Some(Self { parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let stat = Stat::parse("12 (a) b) S) S 7 9 1 0");
        assert_eq!(stat, Some(Stat { parent: 7, group: 9 }));
    }
}
