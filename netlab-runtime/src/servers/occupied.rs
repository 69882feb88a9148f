//! Why a server cannot listen: who does already, or what addresses there are.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Listen;
use super::engine::Engine;
use crate::error::Result;
use crate::lab::Node;

/// The servers of this process, so that they can be named.
static SERVERS: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new());

/// Writes down that a server runs.
pub(super) fn remember(engine: &Arc<Engine>) {
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    servers.retain(|server| server.strong_count() > 0);
    servers.push(Arc::downgrade(engine));
}

/// What to add to a failure to listen: nothing, or `, ...`.
pub(super) fn explain(node: &Node, listen: &Listen, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match holders(node, listen) {
            Ok(holders) if !holders.is_empty() => {
                format!(", where {} listens already", holders.join(" and "))
            }
            Ok(_gone) => String::new(),
            Err(error) => format!(" (who listens there cannot be told: {error:#})"),
        },
        io::ErrorKind::AddrNotAvailable => {
            let addrs: Vec<_> = node.addrs().iter().map(IpAddr::to_string).collect();
            format!(", which is none of its addresses ({})", addrs.join(", "))
        }
        _ => String::new(),
    }
}

/// Who has the port, in words.
fn holders(node: &Node, listen: &Listen) -> Result<Vec<String>> {
    let mut holders = Vec::new();
    for socket in node.sockets()? {
        if socket.protocol != listen.protocol || socket.local.port() != listen.port || !socket.listens() {
            continue;
        }
        let holder = match process(socket.inode)? {
            Some(pid) if pid == std::process::id() => {
                ours(node, listen).unwrap_or_else(|| "this test itself".to_owned())
            }
            Some(pid) => {
                let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
                format!("`{}` (pid {pid})", name.trim_end())
            }
            None => "a process that has gone since".to_owned(),
        };
        holders.push(format!("{holder} on {}", socket.local));
    }
    Ok(holders)
}

/// The server of ours that is there.
fn ours(node: &Node, listen: &Listen) -> Option<String> {
    let servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut servers = servers.iter().filter_map(Weak::upgrade);
    let server = servers.find(|server| {
        server.node == node.name()
            && server.doors.iter().any(|door| {
                let here = door.protocol == listen.protocol && door.local.port() == listen.port;
                here && door.lock().socket.is_some()
            })
    })?;
    Some(format!("the {} of this test", server.kind))
}

/// The process that has a socket open.
fn process(inode: u32) -> io::Result<Option<u32>> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may end at any moment.
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}
