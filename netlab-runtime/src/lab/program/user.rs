//! Whom a program runs as.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::User;

use crate::sys::idmap::{Id, IdMap};

/// How a sandbox comes to have more users.
pub(super) const REMEDY: &str = "run the tests as root, or give the user who runs them a range in `/etc/subuid` and `/etc/subgid`, \
                                 and install `newuidmap` (`cargo netlab doctor` says what is missing)";

/// Whom a program is to run as.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) enum As {
    /// Root of the sandbox.
    #[default]
    Root,
    /// A user and a group.
    Ids(u32, u32),
    /// A user of `/etc/passwd`, and that user's group.
    Name(String),
}

impl As {
    /// Has a program run so.
    pub(super) fn apply(&self, command: &mut Command) -> Result<(), String> {
        if let Some((uid, gid)) = self.resolve()? {
            command.uid(uid).gid(gid);
        }
        Ok(())
    }

    /// The user and the group, if it is not root; what is wrong with them.
    pub(in crate::lab) fn resolve(&self) -> Result<Option<(u32, u32)>, String> {
        let (uid, gid) = match self {
            Self::Root => return Ok(None),
            Self::Ids(uid, gid) => (*uid, *gid),
            Self::Name(name) => {
                let user = User::from_name(name).map_err(|error| format!("user `{name}`: {error}"))?;
                let user = user.ok_or_else(|| format!("there is no user `{name}` in `/etc/passwd`"))?;
                (user.uid.as_raw(), user.gid.as_raw())
            }
        };
        for (id, kind, number) in [(Id::User, "user", uid), (Id::Group, "group", gid)] {
            is_mapped(id, kind, number)?;
        }
        Ok(Some((uid, gid)))
    }
}

/// The kernel says no more than `EINVAL` of a user that the sandbox does not have.
fn is_mapped(id: Id, kind: &str, number: u32) -> Result<(), String> {
    let map = IdMap::own(id).map_err(|error| format!("its {kind}s: {error}"))?;
    if map.contains(number) {
        return Ok(());
    }
    let there = match map.count() {
        1 => format!("only one {kind} is mapped here, root"),
        count => format!("{count} {kind}s are mapped here"),
    };
    Err(format!("this sandbox has no {kind} {number}: {there}; {REMEDY}"))
}
