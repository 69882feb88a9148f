//! What a program's last words tell of the sandbox rather than of the program: that it has but one user.

use super::error::ProgramErrorKind;
use super::user::REMEDY;
use crate::sys::idmap::{Id, IdMap};

/// What fails where there is nobody else to become or to give a file to, in small letters: the calls by their names (setuid(2),
/// setgroups(2), initgroups(3), chown(2)), and as HAProxy (`Cannot set gid 33.`) and su (`cannot set groups`) put it.
const CALLS: [&str; 14] = [
    "setuid",
    "setgid",
    "seteuid",
    "setegid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "initgroups",
    "set uid",
    "set gid",
    "set groups",
    "chown",
];

/// How to let a program do what it may have failed by, in a sandbox of one user.
pub(super) fn hint(kind: &ProgramErrorKind, last: &[String]) -> Option<String> {
    // What ends well had no such trouble; what did not start has its error from the system.
    let ended_well = match kind {
        ProgramErrorKind::EndedEarly { status, .. }
        | ProgramErrorKind::Failed(status)
        | ProgramErrorKind::Ended(status) => status.success(),
        ProgramErrorKind::NotReady { .. } => false,
        ProgramErrorKind::NotStarted | ProgramErrorKind::StillRunning { .. } | ProgramErrorKind::System => {
            true
        }
    };
    let call = last.iter().rev().find_map(|line| call_in(line)).filter(|_call| !ended_well)?;
    // Where that cannot be read, nothing is known.
    let is_one = |id| IdMap::own(id).is_ok_and(|map| map.count() == 1);
    (is_one(Id::User) || is_one(Id::Group)).then(|| {
        format!(
            "hint: it speaks of `{call}`, and to become another user, or to give one a file, fails here: this sandbox has one user, root; \
             {REMEDY}; or have its configuration leave it as root"
        )
    })
}

fn call_in(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    CALLS.into_iter().find(|call| line.contains(call))
}

#[cfg(test)]
mod tests {
    use super::call_in;

    #[test]
    fn what_programs_say_is_recognised() {
        for (line, call) in [
            ("[emerg] 7#7: chown(\"/var/lib/nginx/body\", 33) failed (22: Invalid argument)", Some("chown")),
            ("[alert] 8#8: initgroups(www-data, 33) failed (1: Operation not permitted)", Some("initgroups")),
            ("[ALERT]    (20381) : [haproxy.main()] Cannot set gid 33.", Some("set gid")),
            ("su: cannot set groups: Operation not permitted", Some("set groups")),
            ("setpriv: setresuid failed: Invalid argument", Some("setresuid")),
            ("bind(): Address already in use", None),
            ("", None),
        ] {
            assert_eq!(call_in(line), call, "{line}");
        }
    }
}
