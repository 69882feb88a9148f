//! When a program is ready: what [`Command::ready_when`](super::Command::ready_when) waits for.
//!
//! ```no_run
//! # use netlab_runtime::lab::{Node, ProgramError, ready};
//! # async fn f(web: Node) -> Result<(), ProgramError> {
//! let conf = "/etc/nginx.conf";
//! let nginx = web.command("nginx").args(["-c", conf]).ready_when(ready::port(80)).start().await?;
//! # Ok(()) }
//! ```
//!
//! A program that is waited for in this way is seen to be ready: no connection is made to it to find out, but for [`http`],
//! which is a request.

mod http;
mod notify;
mod ports;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use regex_lite::Regex;

use super::Node;
use super::program::Program;
use crate::kernel::NetlinkSocket;
use crate::kernel::inspect::{self, Protocol, Socket};

/// A condition by which a program is ready.
#[derive(Clone, Debug)]
#[must_use = "a condition is for `ready_when`"]
pub struct Ready(Condition);

#[derive(Clone, Debug)]
enum Condition {
    Port(Protocol, u16),
    Log(String),
    File(PathBuf),
    Notification,
    Http(http::Request),
    All(Vec<Ready>),
    Any(Vec<Ready>),
}

/// The program listens on this TCP port, on any address.
///
/// The kernel is asked who listens (`sock_diag`, as `ss -tln` does). A listener that is known to be another program's does not
/// count: this one, its children and whatever they started is meant.
pub fn port(port: u16) -> Ready {
    Ready(Condition::Port(Protocol::Tcp, port))
}

/// The program has a UDP socket on this port, on any address, as [`port`].
pub fn udp_port(port: u16) -> Ready {
    Ready(Condition::Port(Protocol::Udp, port))
}

/// The program has written a line, to standard output or standard error, that this regular expression matches.
///
/// A pattern that is none is an error when the program is started.
pub fn log(pattern: impl Into<String>) -> Ready {
    Ready(Condition::Log(pattern.into()))
}

/// There is something of this path: a file of its process id, say, or a socket. A relative path is seen from where the program
/// is started.
pub fn file(path: impl Into<PathBuf>) -> Ready {
    Ready(Condition::File(path.into()))
}

/// The program says `READY=1` on the socket that `NOTIFY_SOCKET` names (sd_notify(3)), as daemons with `Type=notify` do.
///
/// See [`Command::listen`](super::Command::listen) for the other half of that protocol, sockets that are passed.
pub fn fd() -> Ready {
    Ready(Condition::Notification)
}

/// `GET path` is answered with this status. It is asked on port 80 wherever the program listens there; `":8080/health"` asks on
/// another port.
///
/// This one does connect, once the kernel says that the program listens.
pub fn http(path: impl AsRef<str>, status: u16) -> Ready {
    Ready(Condition::Http(http::Request::new(path.as_ref(), status)))
}

/// All of these hold at once.
pub fn all(conditions: impl IntoIterator<Item = Ready>) -> Ready {
    Ready(Condition::All(conditions.into_iter().collect()))
}

/// One of these holds.
pub fn any(conditions: impl IntoIterator<Item = Ready>) -> Ready {
    Ready(Condition::Any(conditions.into_iter().collect()))
}

/// As in *waiting for ...*.
impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |f: &mut fmt::Formatter<'_>, what: &str, conditions: &[Self]| {
            write!(f, "{what} of (")?;
            for (index, condition) in conditions.iter().enumerate() {
                write!(f, "{}{condition}", if index > 0 { ", " } else { "" })?;
            }
            f.write_str(")")
        };
        match &self.0 {
            Condition::Port(protocol, port) => write!(f, "port {port}/{protocol}"),
            Condition::Log(pattern) => write!(f, "a line like `{pattern}`"),
            Condition::File(path) => write!(f, "`{}`", path.display()),
            Condition::Notification => f.write_str("`READY=1` by sd_notify"),
            Condition::Http(request) => write!(f, "{request}"),
            Condition::All(conditions) => several(f, "all", conditions),
            Condition::Any(conditions) => several(f, "any", conditions),
        }
    }
}

/// Who looks, and where.
#[derive(Debug)]
pub(super) struct Look<'a> {
    program: &'a Arc<Program>,
    node: &'a Node,
    name: &'a str,
    directory: &'a Path,
    /// Opened in the node by the thread that looks.
    socket: Option<NetlinkSocket>,
}

impl<'a> Look<'a> {
    pub(super) fn new(program: &'a Arc<Program>, node: &'a Node, name: &'a str, directory: &'a Path) -> Self {
        Self { program, node, name, directory, socket: None }
    }

    pub(super) fn program(&self) -> &'a Arc<Program> {
        self.program
    }

    fn sockets(&mut self) -> io::Result<Vec<Socket>> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            unopened => unopened.insert(NetlinkSocket::open(NETLINK_SOCK_DIAG)?),
        };
        inspect::sockets(socket)
    }
}

impl Ready {
    /// Whether it holds; if not, what is seen instead. The calling thread is in the node.
    pub(super) fn look(&self, look: &mut Look<'_>) -> Result<(), String> {
        match &self.0 {
            Condition::Port(protocol, port) => ports::look(look, *protocol, *port).map(drop),
            Condition::Log(pattern) => log_has(look.program, pattern),
            Condition::File(path) => {
                let path = look.directory.join(path);
                match path.try_exists() {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(format!("there is no `{}`", path.display())),
                    Err(error) => Err(format!("`{}` cannot be looked at: {error}", path.display())),
                }
            }
            Condition::Notification => notify::look(look.program),
            Condition::Http(request) => request.look(look),
            Condition::All(conditions) => {
                let missing: Vec<_> =
                    conditions.iter().filter_map(|condition| condition.look(look).err()).collect();
                if missing.is_empty() { Ok(()) } else { Err(missing.join("; and ")) }
            }
            Condition::Any(conditions) => {
                let mut missing = Vec::new();
                for condition in conditions {
                    match condition.look(look) {
                        Ok(()) => return Ok(()),
                        Err(seen) => missing.push(seen),
                    }
                }
                Err(format!("none of these: {}", missing.join("; ")))
            }
        }
    }

    /// Whether nothing tells of a change.
    ///
    /// The kernel has no notice of a socket that begins to listen. It has one of new files, but only in a directory that there
    /// is already, which may be what the program has yet to make.
    pub(super) fn is_polled(&self) -> bool {
        self.has(|condition| {
            matches!(condition, Condition::Port(..) | Condition::File(_) | Condition::Http(_))
        })
    }

    pub(super) fn needs_notifications(&self) -> bool {
        self.has(|condition| matches!(condition, Condition::Notification))
    }

    fn has(&self, wanted: fn(&Condition) -> bool) -> bool {
        match &self.0 {
            Condition::All(conditions) | Condition::Any(conditions) => {
                conditions.iter().any(|condition| condition.has(wanted))
            }
            condition => wanted(condition),
        }
    }

    /// The patterns that lines are to be held against.
    pub(super) fn patterns(&self) -> io::Result<Vec<Regex>> {
        match &self.0 {
            Condition::Log(pattern) => match Regex::new(pattern) {
                Ok(regex) => Ok(vec![regex]),
                Err(error) => Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("`{pattern}` is no regular expression: {error}"),
                )),
            },
            Condition::All(conditions) | Condition::Any(conditions) => {
                let patterns = conditions.iter().map(Self::patterns).collect::<io::Result<Vec<_>>>()?;
                Ok(patterns.into_iter().flatten().collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn log_has(program: &Program, pattern: &str) -> Result<(), String> {
    if program.has_logged(pattern) {
        return Ok(());
    }
    let last = program
        .last_line()
        .map_or_else(|| "it wrote nothing".to_owned(), |line| format!("the last it wrote is `{line}`"));
    Err(format!("it wrote no line like `{pattern}`; {last}"))
}
