//! Which users and groups there are in a sandbox of an ordinary user.
//!
//! Daemons that drop privileges (`setuid`, `chown`) need a second user. Where `newuidmap` and `newgidmap` are there, and
//! `/etc/subuid` and `/etc/subgid` give the user ranges, the runner makes one user namespace with user 0 for itself and
//! 1, 2, ... for the ranges, and all of its sandboxes are born in it. Otherwise each makes its own, with user 0 alone.
//!
//! Invariant: the helpers are executed once per runner at most, and not at all by root.

use std::fmt;
use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::unistd::{Uid, User, getegid, geteuid};

use super::Unavailable;
use crate::settings;
use crate::sys::process::{self, Descriptors, Init, Network, Program, SetupError, Stage};
use crate::sys::users::UserNamespace;

/// A range of `/etc/subuid` or `/etc/subgid` (`subuid(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first user or group of it, as the machine counts.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// The ranges of a user, for which the maps are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// Of `/etc/subuid`.
    pub users: Vec<Range>,
    /// Of `/etc/subgid`.
    pub groups: Vec<Range>,
}

impl Ranges {
    /// How many users there are in a sandbox.
    pub fn count(&self) -> u32 {
        self.users.iter().fold(1, |sum, range| sum.saturating_add(range.count))
    }
}

/// Starts a sandbox, in the runner's user namespace if it has one.
///
/// # Errors
///
/// As [`Init::start`].
pub(super) fn start(
    program: Option<&Program>,
    network: Network,
    descriptors: Descriptors<'_>,
) -> Result<Init, SetupError> {
    if let Ok(users) = kept() {
        match Init::start(program, network, descriptors, Some(users)) {
            Err(error) if error.stage == Stage::Users => refused(error),
            started => return started,
        }
    }
    Init::start(program, network, descriptors, None)
}

/// Tries whether sandboxes here have more than one user: really makes the namespace, with its maps.
///
/// # Errors
///
/// Why not, and what would change that.
pub fn probe() -> Result<Ranges, Unavailable> {
    let ranges = ranges()?;
    kept().map_err(Clone::clone)?;
    match LATER.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        None => Ok(ranges),
        Some(error) => Err(failed(error)),
    }
}

/// Why joining the namespace failed, once it did.
static LATER: Mutex<Option<SetupError>> = Mutex::new(None);

fn refused(error: SetupError) {
    *LATER.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
}

/// The namespace of this runner, made for its first sandbox.
fn kept() -> Result<&'static UserNamespace, &'static Unavailable> {
    static KEPT: OnceLock<Result<UserNamespace, Unavailable>> = OnceLock::new();
    KEPT.get_or_init(|| {
        let ranges = ranges()?;
        UserNamespace::make(|pid| map(pid, &ranges)).map_err(|error| failed(&error))
    })
    .as_ref()
}

fn failed(error: &dyn fmt::Display) -> Unavailable {
    Unavailable::new(
        format!("a user namespace with more than one user cannot be made: {error}"),
        "see what the helper or the system says; in a container or under `no_new_privs` its set-user-ID bit has no effect",
    )
}

/// The ranges of the calling user, if anything is to be made of them.
fn ranges() -> Result<Ranges, Unavailable> {
    if process::may_administer() || geteuid().is_root() {
        return Err(Unavailable::new(
            "no range is mapped for root",
            "none is needed where root makes no user namespace",
        ));
    }
    if settings::get().is_ok_and(|settings| settings.one_user) {
        return Err(Unavailable::new("NETLAB_USERS=one says so", "unset it"));
    }
    let uid = geteuid();
    let name = user_name(uid);
    let of = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = parse(&text, name.as_deref(), uid.as_raw());
        if found.is_empty() { Err(no_range(file, name.as_deref(), uid)) } else { Ok(found) }
    };
    Ok(Ranges { users: of("/etc/subuid")?, groups: of("/etc/subgid")? })
}

/// The name of a user, if the user database has one.
pub(crate) fn user_name(uid: Uid) -> Option<String> {
    User::from_uid(uid).ok().flatten().map(|user| user.name)
}

fn no_range(file: &str, name: Option<&str>, uid: Uid) -> Unavailable {
    let Some(name) = name else {
        return Unavailable::new(
            format!("user {uid} has no name, and so no range in `{file}`"),
            "run the tests as a user of `/etc/passwd`",
        );
    };
    Unavailable::new(
        format!("`{file}` gives the user `{name}` no range"),
        format!(
            "give one: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}` (a range that no \
             other line has)"
        ),
    )
}

/// The ranges of a user, who is named or numbered (`subuid(5)`); what is not understood is left out, as the helpers do.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let of_line = |line: &str| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let is_owner = Some(owner) == name || owner.parse() == Ok(uid);
        let range = Range { first: first.parse().ok()?, count: count.parse().ok()? };
        (is_owner && range.count > 0).then_some(range)
    };
    text.lines().filter_map(of_line).collect()
}

/// Why the maps were not written.
#[derive(Debug, thiserror::Error)]
enum MapError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("`{0}` is not installed (Debian and Ubuntu: `sudo apt install uidmap`)")]
    Missing(&'static str),
    #[error("`{0}`: {1}")]
    Start(&'static str, io::Error),
    #[error("`{0}`: {1}")]
    Refused(&'static str, String),
}

/// Has the helpers write the maps of a process.
fn map(pid: i32, ranges: &Ranges) -> Result<(), MapError> {
    // Both at once: executing them is what costs.
    let users = Helper::start("newuidmap", pid, geteuid().as_raw(), &ranges.users)?;
    let groups = Helper::start("newgidmap", pid, getegid().as_raw(), &ranges.groups);
    let users = users.end();
    groups?.end()?;
    users
}

struct Helper {
    name: &'static str,
    child: Child,
}

impl Helper {
    fn start(name: &'static str, pid: i32, own: u32, ranges: &[Range]) -> Result<Self, MapError> {
        let mut command = Command::new(name);
        command.args([pid.to_string(), "0".to_owned(), own.to_string(), "1".to_owned()]);
        let mut inside = 1_u32;
        for range in ranges {
            command.args([inside, range.first, range.count].map(|number| number.to_string()));
            inside = inside.saturating_add(range.count);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => Ok(Self { name, child }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MapError::Missing(name)),
            Err(error) => Err(MapError::Start(name, error)),
        }
    }

    fn end(self) -> Result<(), MapError> {
        let output = self.child.wait_with_output().map_err(|error| MapError::Start(self.name, error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches(self.name).trim_start_matches(':').trim();
        let said = if said.is_empty() { output.status.to_string() } else { said.replace('\n', "; ") };
        Err(MapError::Refused(self.name, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "# all\nada:100000:65536\nbob:165536:65536\n1000:300000:10\nada:x:1\nada:7\n ada:5:0\n";
        let range = |first, count| Range { first, count };
        assert_eq!(parse(text, Some("ada"), 1000), [range(100_000, 65_536), range(300_000, 10)]);
        assert_eq!(parse(text, Some("bob"), 1001), [range(165_536, 65_536)]);
        assert_eq!(parse(text, None, 1001), []);
    }
}
