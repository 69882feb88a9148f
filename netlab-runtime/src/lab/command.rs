//! Programs in a node.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command as StdCommand, ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command as TokioCommand};
use tokio::runtime::Handle;

use super::program::{self, As, Limit, Options, Passed, Process, ProgramError};
use super::ready::{self, Ready};
use super::thread::detached;
use super::{LabError, Node, ToEndpoint};
use crate::kernel::inspect::Protocol;
use crate::sys::namespace;

/// A program to be started in a node: in its network, with its `/sys`, its host name, and the lab's `/etc/hosts`.
///
/// ```no_run
/// # use netlab_runtime::lab::{Node, ready};
/// # use std::time::Duration;
/// # async fn f(web: Node) -> Result<(), Box<dyn std::error::Error>> {
/// let conf = web.file("nginx.conf", "events {} http { server { listen {node.addr}:80; } }")?;
/// let nginx = web
///     .command("nginx")
///     .arg("-c")
///     .arg(conf)
///     .args(["-g", "daemon off;"])
///     .ready_when(ready::port(80))
///     .start()
///     .await?;
/// // ... the test ...
/// nginx.terminate(Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
///
/// - [`start`](Self::start) is for what is to run while the test goes on: its output goes to a log and, line by line, to the
///   test's output; its end is noticed; signals reach all of its process group. A daemon is to stay in the foreground
///   (`-g 'daemon off;'`, `-f`, `-D`), or what was started has ended at once.
/// - [`output`](Self::output) and [`status`](Self::status) run it to its end.
/// - [`spawn`](Self::spawn) is tokio's, for streams that the test handles itself.
///
/// It starts in the test's working directory, with the test's environment, and these variables unless they are set otherwise:
/// `NETLAB_NODE`, the node's name; `NETLAB_NODE_DIR`, the [node's folder](Node::dir); `NETLAB_LAB_DIR`, the lab's.
///
/// It runs as root of the sandbox. Whether it may become another user, as daemons do that drop their privileges, depends: where root
/// runs the tests, it may; elsewhere if the user has a range in `/etc/subuid` and `/etc/subgid` and `newuidmap` is installed
/// (`cargo netlab doctor` says). Without these there is but one user in the sandbox, and `setuid`, `setgroups` and `chown` to any other
/// fail with `EINVAL` or `EPERM`, which the program reports in its own words; the error has a hint behind them, where they name the
/// call. [`user`](Self::user) says it in netlab's.
///
/// # Teardown
///
/// A program started by [`spawn`](Self::spawn) or [`output`](Self::output) is killed when its handle is dropped, one started by
/// [`start`](Self::start) with the lab; whatever they left behind ends with the sandbox.
#[must_use = "a command does nothing until it is started"]
#[derive(Debug)]
pub struct Command {
    node: Node,
    command: StdCommand,
    /// Streams that were set, so that others are captured.
    set: [bool; 3],
    options: Options,
}

impl Command {
    pub(super) fn new(node: Node, program: &OsStr) -> Self {
        Self { node, command: StdCommand::new(program), set: [false; 3], options: Options::default() }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes a variable from the environment.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Starts it in another directory.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Runs it as another user and group, and without further groups.
    ///
    /// By hand: `setpriv --reuid UID --regid GID --clear-groups PROGRAM`.
    ///
    /// # Errors
    ///
    /// When it is started: the sandbox has no such user, because an ordinary user without a range in `/etc/subuid` runs the tests; see
    /// [`Command`].
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.options.run_as = As::Ids(uid, gid);
        self
    }

    /// Runs it as a user of `/etc/passwd` and that user's group; see [`user`](Self::user).
    pub fn run_as(mut self, user: impl Into<String>) -> Self {
        self.options.run_as = As::Name(user.into());
        self
    }

    /// Sets its standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self.set[0] = true;
        self
    }

    /// Sets its standard output.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self.set[1] = true;
        self
    }

    /// Sets its standard error.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self.set[2] = true;
        self
    }

    /// Has the test's output and the log call it so, rather than by its file name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// Gives it less of a resource than there is.
    ///
    /// By hand: `prlimit --nofile=64 PROGRAM`.
    pub fn limit(mut self, limit: Limit, most: u64) -> Self {
        self.options.limits.push((limit, most));
        self
    }

    /// Passes it a TCP socket that listens in the node already, by the protocol of sd_listen_fds(3): the sockets passed are
    /// descriptors 3 and up in the order of the calls, `LISTEN_FDS` is their number, `LISTEN_PID` its process id,
    /// `LISTEN_FDNAMES` their names, where this one is `unknown`.
    ///
    /// From the start on, connections wait in the socket's queue until the program accepts them.
    pub fn listen(self, on: impl ToEndpoint) -> Self {
        self.pass(Protocol::Tcp, None, on)
    }

    /// Passes it a UDP socket, as [`listen`](Self::listen).
    pub fn listen_udp(self, on: impl ToEndpoint) -> Self {
        self.pass(Protocol::Udp, None, on)
    }

    /// As [`listen`](Self::listen), with a name for sd_listen_fds_with_names(3), as `FileDescriptorName=` gives it in
    /// systemd.socket(5): several sockets may have the same.
    ///
    /// # Errors
    ///
    /// When it is started: the name is empty, longer than 255 bytes, or has a `:` or what is no printable character of ASCII.
    pub fn listen_named(self, name: impl Into<String>, on: impl ToEndpoint) -> Self {
        self.pass(Protocol::Tcp, Some(name.into()), on)
    }

    /// As [`listen_udp`](Self::listen_udp), with a name as [`listen_named`](Self::listen_named).
    pub fn listen_udp_named(self, name: impl Into<String>, on: impl ToEndpoint) -> Self {
        self.pass(Protocol::Udp, Some(name.into()), on)
    }

    fn pass(mut self, protocol: Protocol, name: Option<String>, on: impl ToEndpoint) -> Self {
        self.options.sockets.push(Passed { protocol, name, on: on.to_endpoint() });
        self
    }

    /// Has [`start`](Self::start) wait until this holds; called again, until all of it does.
    pub fn ready_when(mut self, ready: Ready) -> Self {
        self.options.ready = Some(match self.options.ready.take() {
            Some(before) => ready::all([before, ready]),
            None => ready,
        });
        self
    }

    /// How long it may take to be ready, 10 seconds unless set; scaled by `NETLAB_TIMEOUT_SCALE`.
    pub fn ready_within(mut self, deadline: Duration) -> Self {
        self.options.within = deadline;
        self
    }

    /// Lets it end whenever it does: that is neither told of nor held against the test.
    ///
    /// With [`ready_when`](Self::ready_when), this is for a daemon that goes into the background by itself: what is waited for is
    /// that the daemon is ready, after the program that started it has ended. Signals do not reach such a daemon; where it can
    /// stay in the foreground, let it.
    pub fn may_exit(mut self) -> Self {
        self.options.may_exit = true;
        self
    }

    /// Starts the program, and returns when it is ready. It runs until it ends, is ended, or its test is over.
    ///
    /// What it writes goes to [its log](Process::log_path) and to the test's output, each line whole and behind
    /// `node program | `. Standard input is empty unless [`stdin`](Self::stdin) is set; streams that are set are not logged. It has a process
    /// group of its own, and ignores no signal, even if the tests were started to do so (in the background, by nohup(1)).
    ///
    /// By hand: `ip netns exec NODE PROGRAM &`, and `sleep 2`.
    ///
    /// # Errors
    ///
    /// It could not be started; it ended before it was ready; it was not ready in time, and was killed. The message has what was
    /// seen instead, and the last that it wrote.
    pub async fn start(self) -> Result<Process, ProgramError> {
        let what = self.describe();
        let node = self.node.clone();
        let started = match node.state().entry(node.index()) {
            Ok(entry) => {
                detached(node.name(), move || {
                    entry.enter()?;
                    Ok(program::start(self))
                })
                .await
            }
            Err(error) => Err(error),
        };
        started.unwrap_or_else(|error| Err(ProgramError::not_started(what, error)))
    }

    /// As [`start`](Self::start), blocking the calling thread: for tests without a runtime.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_blocking(self) -> Result<Process, ProgramError> {
        let what = self.describe();
        let node = self.node.clone();
        let started = inside(&node, move || Ok(program::start(self)));
        started.unwrap_or_else(|error| Err(ProgramError::not_started(what, error)))
    }

    /// Starts the program. Dropping what is given back kills it. Its streams are the test's unless set; see
    /// [`start`](Self::start) for a program that is to be looked after.
    ///
    /// By hand: `ip netns exec NODE PROGRAM`.
    ///
    /// # Errors
    ///
    /// There is no such program, or it may not be executed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which has to wait for the program.
    #[track_caller]
    pub fn spawn(self) -> Result<Child, LabError> {
        let runtime = Handle::current();
        let what = self.describe();
        let (node, command) = self.plain()?;
        let mut command = TokioCommand::from(command);
        command.kill_on_drop(true);
        inside(&node, || {
            let _context = runtime.enter();
            command.spawn()
        })
        .map_err(|error| LabError::io(what, error))
    }

    /// Runs the program to its end, and gives its status and what it wrote.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn). A program that fails is none; see [`Output::status`].
    pub async fn output(self) -> Result<Output, LabError> {
        let what = self.describe();
        let child = self.captured().spawn()?;
        child.wait_with_output().await.map_err(|error| LabError::io(what, error))
    }

    /// Runs the program to its end, and gives its status.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn). A program that fails is none.
    pub async fn status(self) -> Result<ExitStatus, LabError> {
        let what = self.describe();
        let mut child = self.spawn()?;
        child.wait().await.map_err(|error| LabError::io(what, error))
    }

    /// As [`output`](Self::output), blocking the calling thread: for tests without a runtime.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn output_blocking(self) -> Result<Output, LabError> {
        let what = self.describe();
        let (node, mut command) = self.captured().plain()?;
        inside(&node, || command.spawn())
            .and_then(std::process::Child::wait_with_output)
            .map_err(|error| LabError::io(what, error))
    }

    /// As [`status`](Self::status), blocking the calling thread: for tests without a runtime.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn status_blocking(self) -> Result<ExitStatus, LabError> {
        let what = self.describe();
        let (node, mut command) = self.plain()?;
        inside(&node, || command.spawn())
            .and_then(|mut child| child.wait())
            .map_err(|error| LabError::io(what, error))
    }

    /// The command as the standard library has it, for what starts it in its way.
    fn plain(self) -> Result<(Node, StdCommand), LabError> {
        let what = self.describe();
        let Self { node, mut command, options, .. } = self;
        let Options { ready, sockets, .. } = &options;
        if ready.is_some() || !sockets.is_empty() {
            return Err(LabError::msg(format!(
                "{what}: `ready_when` and `listen` are for a program that is started by `start` or `start_blocking`"
            )));
        }
        options.run_as.resolve().map_err(|problem| LabError::msg(format!("{what}: {problem}")))?;
        options.apply(&node, &mut command).map_err(|error| LabError::io(what, error))?;
        Ok((node, command))
    }

    pub(super) fn into_parts(self) -> (Node, StdCommand, [bool; 3], Options) {
        let Self { node, command, set, options } = self;
        (node, command, set, options)
    }

    fn captured(mut self) -> Self {
        let [stdin, stdout, stderr] = self.set;
        if !stdin {
            self.command.stdin(Stdio::null());
        }
        if !stdout {
            self.command.stdout(Stdio::piped());
        }
        if !stderr {
            self.command.stderr(Stdio::piped());
        }
        self
    }

    pub(super) fn describe(&self) -> String {
        let mut text = format!("node `{}`: `{}", self.node.name(), self.command.get_program().display());
        for arg in self.command.get_args() {
            text += &format!(" {}", arg.display());
        }
        text + "`"
    }
}

/// Starts something from a thread inside the node: a child is born where the thread that starts it is.
fn inside<T: Send>(node: &Node, start: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let entry = node.state().entry(node.index())?;
    namespace::on_thread(node.name(), || {
        entry.enter()?;
        start()
    })
    .flatten()
}
