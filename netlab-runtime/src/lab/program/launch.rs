//! How a program is started: what it finds, where what it writes goes, and the wait until it is ready.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::Resource;

use super::super::endpoint::{self, Endpoint};
use super::super::error::Source;
use super::super::ready::{Look, Ready};
use super::super::{Command, Node};
use super::Signal;
use super::error::{ProgramError, ProgramErrorKind};
use super::log::Log;
use super::process::Process;
use super::program::Program;
use super::supervisor::pipe;
use super::user::As;
use crate::kernel::inspect::Protocol;
use crate::log::{Topic, tell};
use crate::settings::scaled;
use crate::sys::{child, pidfd};

/// How long a program may take to be ready, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before the first second look, and at most, at what the kernel tells nobody of by itself: that a port is
/// listened on, say.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

/// A resource that a program can be given less of (setrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Open descriptors (`RLIMIT_NOFILE`).
    OpenFiles,
    /// Bytes of address space (`RLIMIT_AS`).
    Memory,
    /// Seconds of processor time (`RLIMIT_CPU`).
    CpuSeconds,
    /// Bytes of a file (`RLIMIT_FSIZE`).
    FileSize,
    /// Bytes of a core dump (`RLIMIT_CORE`).
    CoreSize,
    /// Bytes of the stack (`RLIMIT_STACK`).
    Stack,
    /// Processes and threads of its user, those of the test among them (`RLIMIT_NPROC`).
    Processes,
    /// Bytes locked in memory (`RLIMIT_MEMLOCK`).
    LockedMemory,
}

impl Limit {
    fn resource(self) -> Resource {
        match self {
            Self::OpenFiles => Resource::RLIMIT_NOFILE,
            Self::Memory => Resource::RLIMIT_AS,
            Self::CpuSeconds => Resource::RLIMIT_CPU,
            Self::FileSize => Resource::RLIMIT_FSIZE,
            Self::CoreSize => Resource::RLIMIT_CORE,
            Self::Stack => Resource::RLIMIT_STACK,
            Self::Processes => Resource::RLIMIT_NPROC,
            Self::LockedMemory => Resource::RLIMIT_MEMLOCK,
        }
    }
}

/// What a command has beyond the standard library's.
#[derive(Debug)]
pub(in crate::lab) struct Options {
    pub(in crate::lab) name: Option<String>,
    pub(in crate::lab) run_as: As,
    pub(in crate::lab) limits: Vec<(Limit, u64)>,
    pub(in crate::lab) sockets: Vec<Passed>,
    pub(in crate::lab) ready: Option<Ready>,
    pub(in crate::lab) within: Duration,
    pub(in crate::lab) may_exit: bool,
}

/// A socket that a program is passed.
#[derive(Debug)]
pub(in crate::lab) struct Passed {
    pub(in crate::lab) protocol: Protocol,
    pub(in crate::lab) name: Option<String>,
    pub(in crate::lab) on: io::Result<Endpoint>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            run_as: As::default(),
            limits: Vec::new(),
            sockets: Vec::new(),
            ready: None,
            within: PATIENCE,
            may_exit: false,
        }
    }
}

impl Options {
    /// What every program of a node gets, however it is started.
    pub(in crate::lab) fn apply(&self, node: &Node, command: &mut StdCommand) -> io::Result<()> {
        set(command, "NETLAB_NODE", node.name());
        // Where there is no folder, whoever needs one is told why.
        if let Ok(folder) = node.state().folder() {
            set(command, "NETLAB_LAB_DIR", folder.root());
            set(command, "NETLAB_NODE_DIR", folder.of_node(node.name())?);
        }
        #[cfg(feature = "tls")]
        if let Some(ca) = node.state().ca_if_made() {
            for variable in crate::lab::ca::VARIABLES {
                set(command, variable, ca.path());
            }
        }
        self.run_as.apply(command).map_err(io::Error::other)?;
        let limits = self.limits.iter().map(|(limit, most)| (limit.resource(), *most));
        child::limit(command, limits.collect());
        Ok(())
    }
}

/// Sets a variable, unless the test has.
fn set(command: &mut StdCommand, name: &str, value: impl AsRef<std::ffi::OsStr>) {
    if !command.get_envs().any(|(known, _)| known == name) {
        command.env(name, value);
    }
}

/// Starts a program from the calling thread, a fresh one in the node, and waits until it is ready.
pub(in crate::lab) fn start(command: Command) -> Result<Process, ProgramError> {
    let what = command.describe();
    let (node, command, set, options) = command.into_parts();
    let directory = command.get_current_dir().map_or_else(PathBuf::new, Path::to_owned);
    let ready = options.ready.clone();
    let (within, may_exit) = (scaled(options.within), options.may_exit);
    let base = options.name.clone().unwrap_or_else(|| file_name(&command));
    let name = node.state().name_program(node.index(), &base);

    let program = launch(&node, &name, &what, command, set, &options);
    let program = program.map_err(|error| ProgramError::not_started(what, error))?;
    let started = Instant::now();
    tell(Topic::Programs, format_args!("{}: started, as {name}, pid {}", program.what(), program.pid()));
    if let Some(ready) = &ready {
        let waiting = program.wait();
        let until = Instant::now().checked_add(within);
        let mut look = Look::new(&program, &node, &name, &directory);
        let kind = wait_until_ready(ready, &mut look, until, within, may_exit);
        if let Err(kind) = kind {
            program.let_end();
            if program.signal(Signal::KILL).is_ok() {
                // Its last words may say why.
                waiting.end_blocking(Instant::now().checked_add(PATIENCE));
            }
            return Err(program.error(kind));
        }
        tell(Topic::Programs, format_args!("{}: ready after {:?}", program.what(), started.elapsed()));
    }
    if may_exit {
        program.let_end();
    }
    program.tell_if_unasked();
    Ok(Process::new(node, name, program))
}

fn file_name(command: &StdCommand) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn launch(
    node: &Node,
    name: &str,
    what: &str,
    mut command: StdCommand,
    set_streams: [bool; 3],
    options: &Options,
) -> io::Result<Arc<Program>> {
    let patterns = options.ready.as_ref().map_or(Ok(Vec::new()), Ready::patterns)?;
    let folder = node.state().folder().map_err(|error| context("the lab's folder cannot be made", error))?;
    let log = Log::create(folder.log_of(node.name(), name), format!("{} {name} | ", node.name()), patterns)
        .map_err(|error| context("its log cannot be made", error))?;
    options.apply(node, &mut command)?;
    set(&mut command, "NETLAB_PROGRAM", marker(node.name(), name));
    command.process_group(0);
    child::heed_signals(&mut command)?;
    if !set_streams[0] {
        command.stdin(Stdio::null());
    }
    let mut streams = [None, None];
    for (index, stream) in streams.iter_mut().enumerate() {
        if !set_streams[index + 1] {
            let (ours, theirs) = pipe()?;
            *stream = Some(ours);
            if index == 0 {
                command.stdout(theirs)
            } else {
                command.stderr(theirs)
            };
        }
    }
    let mut notify = None;
    if options.ready.as_ref().is_some_and(Ready::needs_notifications) {
        let path = folder.notify_socket_of(node.name(), name);
        notify =
            Some(notify_socket(&path).map_err(|error| context("its NOTIFY_SOCKET cannot be made", error))?);
        command.env("NOTIFY_SOCKET", path);
    }
    let sockets = options.sockets.iter().map(|socket| Ok((fd_name(socket)?, listen(node, socket)?)));
    let sockets: Vec<_> = sockets.collect::<io::Result<_>>()?;
    let child =
        if sockets.is_empty() { command.spawn()? } else { child::spawn_with_sockets(command, &sockets)? };
    // From here on `Program` reaps it, by its pidfd.
    let pidfd = pidfd::open(child.id())?;
    let program = Program::new(what.to_owned(), child.id(), pidfd, log, streams, notify);
    let program = Arc::new(program);
    node.state().supervisor()?.watch(&program)?;
    Ok(program)
}

/// What a program and all its descendants have in their environment.
pub(in crate::lab) fn marker(node: &str, name: &str) -> String {
    format!("{node}/{name}")
}

fn context(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {}", Source(error)))
}

fn notify_socket(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    // The program may be another user's.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    Ok(socket)
}

/// What a socket is called in `LISTEN_FDNAMES`, by the rules of `FileDescriptorName=` in systemd.socket(5); `unknown` is what
/// systemd calls one without a name.
fn fd_name(socket: &Passed) -> io::Result<String> {
    let Some(name) = &socket.name else { return Ok("unknown".to_owned()) };
    let is_right = |c: char| (' '..='~').contains(&c) && c != ':';
    if (1..=255).contains(&name.len()) && name.chars().all(is_right) {
        return Ok(name.clone());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "`{name}` is no name for a socket: it is to be 1 to 255 printable characters of ASCII, without `:`"
        ),
    ))
}

/// Makes a socket to be passed, from a thread in the node.
fn listen(node: &Node, socket: &Passed) -> io::Result<OwnedFd> {
    let Passed { protocol, on, .. } = socket;
    let endpoint = on.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    for addr in endpoint::resolve_blocking(node, &endpoint.destination)? {
        let addr = SocketAddr::new(addr, endpoint.port);
        let socket = match protocol {
            Protocol::Tcp => std::net::TcpListener::bind(addr).map(OwnedFd::from),
            Protocol::Udp => std::net::UdpSocket::bind(addr).map(OwnedFd::from),
        };
        match socket {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                last = context(&format!("the socket on {addr}/{protocol} that is to be passed to it"), error);
            }
        }
    }
    Err(last)
}

fn wait_until_ready(
    ready: &Ready,
    look: &mut Look<'_>,
    until: Option<Instant>,
    within: Duration,
    may_exit: bool,
) -> Result<(), ProgramErrorKind> {
    let program = look.program();
    let [mut pause, longest] = PAUSES;
    loop {
        let changes = program.changes();
        let ended = program.look_for_the_end();
        let seen = match ready.look(look) {
            Ok(()) => return Ok(()),
            Err(seen) => seen,
        };
        // One that may end may have left a daemon behind, which is what is waited for.
        if ended
            && !may_exit
            && let Some(status) = program.ended()
        {
            return Err(ProgramErrorKind::EndedEarly { status, seen });
        }
        let now = Instant::now();
        if until.is_some_and(|until| now >= until) {
            return Err(ProgramErrorKind::NotReady { within, seen });
        }
        let next = if ready.is_polled() { now + pause } else { now + PATIENCE };
        pause = (pause * 2).min(longest);
        program.wait_for_change(changes, until.map_or(next, |until| next.min(until)));
    }
}
