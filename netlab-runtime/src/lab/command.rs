//! Programs in a node.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as StdCommand, ExitStatus, Output, Stdio};

use tokio::process::{Child, Command as TokioCommand};
use tokio::runtime::Handle;

use super::{LabError, Node};
use crate::sys::idmap::{Id, IdMap};
use crate::sys::namespace;

/// A program to be started in a node: in its network, with its `/sys`, its host name, and the lab's `/etc/hosts`.
///
/// It starts in the test's working directory, with the test's environment and, unless set otherwise, its standard
/// streams; [`output`](Self::output) captures them.
///
/// It runs as root of the sandbox. Whether it may become another user, as daemons do that drop their privileges, depends: where root
/// runs the tests, it may; elsewhere if the user has a range in `/etc/subuid` and `/etc/subgid` and `newuidmap` is installed
/// (`cargo netlab doctor` says). Without these there is but one user in the sandbox, and `setuid`, `setgroups` and `chown` to any other
/// fail with `EINVAL` or `EPERM`, which the program reports in its own words. [`user`](Self::user) says it in netlab's.
///
/// # Teardown
///
/// A program started by [`spawn`](Self::spawn) or [`output`](Self::output) is killed when its handle is dropped; whatever
/// it left behind ends with the sandbox.
#[must_use = "a command does nothing until it is started"]
#[derive(Debug)]
pub struct Command {
    node: Node,
    command: StdCommand,
    /// Streams that were set, so that `output` captures the others.
    set: [bool; 3],
    /// The user and the group it is to run as.
    user: Option<(u32, u32)>,
}

impl Command {
    pub(super) fn new(node: Node, program: &OsStr) -> Self {
        Self { node, command: StdCommand::new(program), set: [false; 3], user: None }
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
        self.command.uid(uid).gid(gid);
        self.user = Some((uid, gid));
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

    /// Starts the program. Dropping what is given back kills it.
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
        self.has_its_user(&what)?;
        let Self { node, command, .. } = self;
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
        self.has_its_user(&what)?;
        let Self { node, mut command, .. } = self.captured();
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
        self.has_its_user(&what)?;
        let Self { node, mut command, .. } = self;
        inside(&node, || command.spawn())
            .and_then(|mut child| child.wait())
            .map_err(|error| LabError::io(what, error))
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

    /// The kernel says no more than `EINVAL` of a user that the sandbox does not have.
    fn has_its_user(&self, what: &str) -> Result<(), LabError> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        for (id, kind, number) in [(Id::User, "user", uid), (Id::Group, "group", gid)] {
            let map = IdMap::own(id).map_err(|error| LabError::io(format!("{what}: its {kind}s"), error))?;
            if !map.contains(number) {
                let there = match map.count() {
                    1 => format!("only one {kind} is mapped here, root"),
                    count => format!("{count} {kind}s are mapped here"),
                };
                return Err(LabError::msg(format!(
                    "{what}: this sandbox has no {kind} {number}: {there}; run the tests as root, or give the user who runs \
                     them a range in `/etc/subuid` and `/etc/subgid`, and install `newuidmap` (`cargo netlab doctor` says \
                     what is missing)"
                )));
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
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
