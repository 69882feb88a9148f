//! What happens in a program's process between `fork` and `exec`, beyond what the standard library's `Command` knows.
//!
//! Invariant: there, in a copy of a threaded process, nothing is allocated and no lock is taken; all was prepared before.

use std::ffi::{CString, OsStr, OsString, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal};

use super::signal::handler_of;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
const FIRST: RawFd = 3;
/// Room for a process id in decimal digits, and the NUL.
const DIGITS: usize = 12;

/// Has the program run under limits, soft and hard alike.
pub fn limit(command: &mut Command, limits: Vec<(Resource, u64)>) {
    if limits.is_empty() {
        return;
    }
    let set = move || limits.iter().try_for_each(|&(what, most)| Ok(setrlimit(what, most, most)?));
    // SAFETY: the closure makes system calls, and nothing else.
    unsafe { command.pre_exec(set) };
}

/// Has the program heed the signals that this process ignores: what a shell starts in the background ignores SIGINT and SIGQUIT, what
/// nohup(1) starts SIGHUP, and so does all that is started from there.
///
/// # Errors
///
/// None that is known: sigaction(2) is asked of signals that there are.
pub fn heed_signals(command: &mut Command) -> io::Result<()> {
    let mut ignored = Vec::new();
    // The standard library sees to SIGPIPE, which it has itself ignored.
    for signal in Signal::iterator().filter(|signal| *signal != Signal::SIGPIPE) {
        if handler_of(signal as c_int)?.sa_sigaction == libc::SIG_IGN {
            ignored.push(signal);
        }
    }
    if ignored.is_empty() {
        return Ok(());
    }
    let heed = move || {
        ignored.iter().try_for_each(|signal| {
            // SAFETY: no handler is involved.
            unsafe { nix::sys::signal::signal(*signal, SigHandler::SigDfl) }?;
            Ok(())
        })
    };
    // SAFETY: the closure makes system calls, and nothing else.
    unsafe { command.pre_exec(heed) };
    Ok(())
}

/// Starts a program that finds sockets at descriptors 3 and up, by the protocol of sd_listen_fds_with_names(3): their number in
/// `LISTEN_FDS`, their names in `LISTEN_FDNAMES`, and its own process id in `LISTEN_PID`. The names have no `:`, which is between
/// them there.
///
/// # Errors
///
/// As [`Command::spawn`]; there is no such program in the `PATH` that it is given.
pub fn spawn_with_sockets(mut command: Command, sockets: &[(String, OwnedFd)]) -> io::Result<Child> {
    let count = c_int::try_from(sockets.len()).map_err(io::Error::other)?;
    let beyond = FIRST + count;
    // The standard library's own descriptors must not be where the sockets go, nor may the sockets be in each other's way.
    let null = File::open("/dev/null")?;
    let mut plugs = Vec::new();
    loop {
        let plug = duplicate(&null, FIRST)?;
        if plug.as_raw_fd() >= beyond {
            break;
        }
        plugs.push(plug);
    }
    let parked =
        sockets.iter().map(|(_, socket)| duplicate(socket, beyond)).collect::<io::Result<Vec<_>>>()?;
    let names: Vec<_> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    let mut exec = Exec::prepare(&command, &names)?;
    let replace = move || {
        for (number, socket) in (FIRST..).zip(&parked) {
            // SAFETY: the table of descriptors is this process's own, and nobody else is left in it.
            let result = unsafe { libc::dup2(socket.as_raw_fd(), number) };
            Errno::result(result)?;
        }
        Err(exec.run().into())
    };
    // SAFETY: the closure makes system calls and writes to memory that was allocated before.
    unsafe { command.pre_exec(replace) };
    let child = command.spawn();
    drop(plugs);
    child
}

fn duplicate(fd: impl std::os::fd::AsFd, least: RawFd) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the call has just made this descriptor, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The arguments of an `execve`: the standard library's has an environment that nobody can add a process id to.
struct Exec {
    /// What the pointers point into; moving it moves none of the bytes.
    _strings: Vec<CString>,
    path: *const c_char,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// Where the process id goes: [`DIGITS`] bytes of the environment.
    pid: *mut u8,
    _pid_variable: Box<[u8]>,
}

// SAFETY: the pointers are into what it owns, and only the process that runs it writes there.
unsafe impl Send for Exec {}
// SAFETY: as above; shared, it does nothing.
unsafe impl Sync for Exec {}

impl Exec {
    fn prepare(command: &Command, names: &[&str]) -> io::Result<Self> {
        const PID: &str = "LISTEN_PID=";
        let environment = environment(command);
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
        let path = c_string(find(command.get_program(), &environment)?.as_bytes())?;
        let arguments = std::iter::once(command.get_program()).chain(command.get_args());
        let arguments =
            arguments.map(|argument| c_string(argument.as_bytes())).collect::<io::Result<Vec<_>>>()?;
        let ours = [("LISTEN_FDS", names.len().to_string()), ("LISTEN_FDNAMES", names.join(":"))];
        let ours = ours.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let others = environment.into_iter().filter(|(name, _)| {
            !["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"].iter().any(|ours| name == *ours)
        });
        let variables = others.chain(ours).map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(name.as_bytes())
        });
        let variables = variables.collect::<io::Result<Vec<_>>>()?;

        let mut pid_variable = vec![0; PID.len() + DIGITS].into_boxed_slice();
        pid_variable[..PID.len()].copy_from_slice(PID.as_bytes());
        let start = pid_variable.as_mut_ptr();
        let null = || std::iter::once(std::ptr::null());
        let argv = arguments.iter().map(|argument| argument.as_ptr()).chain(null()).collect();
        let envp = variables.iter().map(|variable| variable.as_ptr());
        let envp = envp.chain(std::iter::once(start.cast_const().cast())).chain(null()).collect();
        Ok(Self {
            path: path.as_ptr(),
            argv,
            envp,
            // SAFETY: within the bytes just made.
            pid: unsafe { start.add(PID.len()) },
            _pid_variable: pid_variable,
            _strings: std::iter::once(path).chain(arguments).chain(variables).collect(),
        })
    }

    /// Becomes the program; comes back with what went wrong.
    fn run(&mut self) -> Errno {
        let mut digits = [0; DIGITS];
        let mut rest = std::process::id();
        let mut length = 0;
        while rest > 0 {
            digits[length] = b'0' + (rest % 10) as u8;
            rest /= 10;
            length += 1;
        }
        digits[..length].reverse();
        // SAFETY: both are as long as that, and do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(digits.as_ptr(), self.pid, DIGITS) };
        // SAFETY: the path ends with a NUL, the lists with a null pointer, and all they point to lives.
        unsafe { libc::execve(self.path, self.argv.as_ptr(), self.envp.as_ptr()) };
        Errno::last()
    }
}

/// The environment that the program is to have.
fn environment(command: &Command) -> Vec<(OsString, OsString)> {
    let changed: Vec<_> = command.get_envs().collect();
    let kept = std::env::vars_os().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    let set = changed.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
    kept.chain(set).collect()
}

/// The file of a program, looked for as execvp(3) does.
fn find(program: &OsStr, environment: &[(OsString, OsString)]) -> io::Result<OsString> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = path.unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file())
        .map(Into::into)
        .ok_or_else(|| Errno::ENOENT.into())
}
