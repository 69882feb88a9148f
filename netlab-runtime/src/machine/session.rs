//! A test's time on the machine, as the runner has it: alone, written down, and undone.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::geteuid;

use super::ground::Ground;
use super::identity::{MachineId, boot};
use super::journal::{self, Header, VERSION};
use super::lock::{Holder, Lock};
use super::owner::Owner;
use super::sweep::{self, Swept};
use super::undo::{self, Left};
use super::{pins, state};

/// What a run's name is made of: nothing that is mistaken for another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Its length: `nlXXXXXX-99999` is a name for an interface, and `NETLAB-XXXXXX-POSTROUTING` one for a chain.
const RUN: usize = 6;
/// How often a name is looked for that is free, of a thousand million.
const ATTEMPTS: usize = 16;

/// The machine's own network, held for one test: the lock, and the journal of what is changed.
///
/// # Teardown
///
/// [`end`](Self::end) undoes everything and lets go of the lock; dropping it does so too, and can tell of what is left only on
/// standard error.
#[derive(Debug)]
#[must_use = "dropping it undoes everything"]
pub struct Session {
    open: Option<Open>,
    swept: Vec<Swept>,
}

#[derive(Debug)]
struct Open {
    lock: Lock,
    ground: Ground,
    path: PathBuf,
    file: fs::File,
}

/// Why a test cannot have the machine.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SessionError {
    what: String,
    source: io::Error,
}

fn at(what: &str) -> impl FnOnce(io::Error) -> SessionError {
    move |source| SessionError { what: what.to_owned(), source }
}

/// The machine's lock, and nothing done yet.
#[derive(Debug)]
#[must_use = "dropping it lets go of the lock"]
pub struct Turn(Lock);

impl Turn {
    /// Waits for the machine's lock. `waiting` is called with the lock's holder if that takes long; at once when `live`.
    ///
    /// The calling thread has to be in the machine's network namespace, as those of a runner are.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub fn wait(live: bool, waiting: impl Fn(&Holder) + Sync) -> Result<Self, SessionError> {
        let tell = |pid| waiting(&sweep::holder(pid));
        Lock::take(live, &tell).map(Self).map_err(at("the machine's lock cannot be had"))
    }
}

impl Session {
    /// Undoes what dead runs left, and begins a journal.
    ///
    /// # Errors
    ///
    /// No folder for the journal can be had.
    ///
    /// # Privileges
    ///
    /// `CAP_NET_ADMIN` over the machine's network namespace, for undoing.
    pub fn begin(test: &str, Turn(lock): Turn) -> Result<Self, SessionError> {
        let mut ground = Ground::here().map_err(at("the machine's network cannot be opened"))?;
        let machine =
            MachineId::of(lock.as_fd(), &ground.socket).map_err(at("the machine cannot be told"))?;
        let swept =
            sweep::of(&machine, Some(&mut ground)).map_err(at("what dead runs left cannot be undone"))?;
        let (path, file) = begin_journal(test, machine)
            .map_err(at("no journal of what is done to the machine can be had"))?;
        Ok(Self { open: Some(Open { lock, ground, path, file }), swept })
    }

    /// What dead runs had left, and became of it.
    pub fn swept(&self) -> &[Swept] {
        &self.swept
    }

    /// What the sandbox gets: the machine's network namespace, which is the lock as well, and the journal.
    ///
    /// # Errors
    ///
    /// The process may open no more descriptors.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 2]> {
        let open = self.open();
        Ok([open.lock.share()?, open.file.try_clone()?.into()])
    }

    /// Keeps the namespace of the place of this name beyond the end of the sandbox: an interface of the machine is about to be
    /// moved there.
    ///
    /// # Errors
    ///
    /// It is no namespace; what mounting says.
    pub fn pin(&self, place: &str, namespace: OwnedFd) -> io::Result<()> {
        let net = namespace;
        pins::pin(&state::pins(&self.open().path), place, net.as_fd())
    }

    /// Undoes everything, the last first, and lets go of the lock. Every process of the sandbox has to be dead.
    ///
    /// What could not be undone is told. If it is worth another try, the journal stays, for `cargo netlab gc` or the next run to
    /// do so when this process is gone.
    pub fn end(mut self) -> Vec<Left> {
        self.open.take().map(Open::end).unwrap_or_default()
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("it is taken only when the session ends")
    }
}

impl Open {
    fn end(mut self) -> Vec<Left> {
        let mut left = undo::all(&mut self.file, &mut self.ground);
        if !left.iter().any(|left| left.again)
            && let Err(error) = remove(&self.path)
        {
            let what = format!("the journal `{}`", self.path.display());
            left.push(Left { what, why: error.to_string(), again: true });
        }
        // Only now may another begin.
        drop(self.lock);
        left
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for left in self.open.take().map(Open::end).unwrap_or_default() {
            eprintln!("netlab: {left}");
        }
    }
}

/// Removes a journal that has nothing left to undo, its pins first, and its folder, if it was the last there.
pub(super) fn remove(journal: &Path) -> io::Result<()> {
    pins::remove(&state::pins(journal))?;
    fs::remove_file(journal)?;
    match journal.parent().map(fs::remove_dir) {
        Some(Err(error)) if !state::stays(&error) => Err(error),
        _ => Ok(()),
    }
}

fn begin_journal(test: &str, machine: MachineId) -> io::Result<(PathBuf, fs::File)> {
    let mut header = Header {
        version: VERSION,
        run: String::new(),
        boot: boot()?,
        machine,
        owner: Owner::here()?,
        uid: geteuid().as_raw(),
        since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        test: test.to_owned(),
        binary: std::env::current_exe()?,
        pins: PathBuf::new(),
    };
    for _ in 0..ATTEMPTS {
        header.run = name()?;
        let folder = state::folder()?;
        let path = state::journal(&folder, &header.run);
        header.pins = state::pins(&path);
        match journal::create(&path, &header) {
            // Somebody has the name, or has removed the folder, which was empty.
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
            Ok(file) => return Ok((path, file)),
        }
    }
    Err(io::Error::other("no free name for a journal was found"))
}

/// A name that nobody has.
fn name() -> io::Result<String> {
    let mut random = [0; RUN];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}
