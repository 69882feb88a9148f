//! Why a sandbox cannot be had on this machine, and what would change that.

use std::fmt;
use std::fs;
use std::os::fd::AsFd;

use nix::errno::Errno;

use super::users;
use crate::settings::Settings;
use crate::sys::process::{self, Descriptors, Network, SetupError, Stage};

/// A test cannot run here: a sandbox cannot be had, or the test needs what the machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unavailable {
    /// The name of what is missing, if a test said that it needs it.
    pub feature: Option<String>,
    /// What is missing.
    pub missing: String,
    /// What would give it.
    pub remedy: String,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.missing, self.remedy)
    }
}

/// Tries whether a sandbox can be had here: really makes one, whose worker makes a network namespace and ends.
///
/// # Errors
///
/// What is missing, with the remedy.
///
/// # Teardown
///
/// The sandbox of the trial is gone on return.
pub fn probe() -> Result<(), Unavailable> {
    let unexplained = |error: &dyn fmt::Display| {
        Unavailable::new(
            format!("a sandbox cannot be made here: {error}"),
            "see what the system says about that error",
        )
    };
    let null = fs::File::open("/dev/null").map_err(|error| unexplained(&format!("`/dev/null`: {error}")))?;
    let null = null.as_fd();
    let descriptors = Descriptors { stdin: null, stdout: null, stderr: null, report: null, output: null };
    let explain = |error| Unavailable::explain(error).unwrap_or_else(|| unexplained(&error));
    users::start(None, Network::Own, descriptors).map_err(explain)?.wait().map_err(explain)?;
    Ok(())
}

impl Unavailable {
    /// Of what every sandbox needs.
    pub(crate) fn new(missing: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { feature: None, missing: missing.into(), remedy: remedy.into() }
    }

    /// Whether a test that cannot run here for this reason fails, rather than being ignored: what cannot run must where settings
    /// are strict, unless they say that the machine lacks just that.
    pub(crate) fn fails(&self, settings: &Settings) -> bool {
        let known = self.feature.as_ref().is_some_and(|feature| settings.without.contains(feature));
        settings.strict && !known
    }

    /// What lies behind a failed step, if it is that this machine does not allow sandboxes. Nothing, if it is
    /// a fault of the moment, such as too many processes.
    pub(super) fn explain(error: SetupError) -> Option<Self> {
        explain(error, &Machine::look())
    }
}

/// What the machine says about user namespaces.
#[derive(Debug, Default)]
struct Machine {
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu from 23.10).
    apparmor: bool,
    /// `kernel.unprivileged_userns_clone` is 0 (Debian's kernels).
    userns_clone_off: bool,
    /// Those of `user.max_*_namespaces` that are 0.
    none_allowed: Vec<&'static str>,
    /// A seccomp filter is on this process, as in containers.
    filtered: bool,
    /// This process is root in its user namespace, and lacks `CAP_SYS_ADMIN` all the same.
    root: bool,
}

/// `user.max_*_namespaces` of the namespaces a sandbox has.
const LIMITS: [&str; 6] = [
    "max_user_namespaces",
    "max_net_namespaces",
    "max_mnt_namespaces",
    "max_pid_namespaces",
    "max_uts_namespaces",
    "max_ipc_namespaces",
];

impl Machine {
    fn look() -> Self {
        let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
        let none_allowed =
            LIMITS.into_iter().filter(|limit| is(&format!("/proc/sys/user/{limit}"), "0")).collect();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            apparmor: is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            userns_clone_off: is("/proc/sys/kernel/unprivileged_userns_clone", "0"),
            none_allowed,
            filtered: status.lines().any(|line| line.replace('\t', "") == "Seccomp:2"),
            root: nix::unistd::geteuid().is_root() && !process::may_administer(),
        }
    }

    fn as_root(&self) -> String {
        if self.root {
            return "or give the container more: `--privileged`, or `--cap-add SYS_ADMIN --cap-add NET_ADMIN \
                    --security-opt seccomp=unconfined --security-opt apparmor=unconfined`"
                .to_owned();
        }
        format!("or {}", as_root())
    }
}

/// How to run the tests as root.
pub(super) fn as_root() -> String {
    format!("run the tests as root: `CARGO_TARGET_{}_RUNNER='sudo -E' cargo test`", triple())
}

/// The target's name as in cargo's variables.
fn triple() -> String {
    let environment = if cfg!(target_env = "musl") { "MUSL" } else { "GNU" };
    format!("{}_UNKNOWN_LINUX_{environment}", std::env::consts::ARCH.to_uppercase())
}

fn explain(error: SetupError, machine: &Machine) -> Option<Unavailable> {
    use Stage::{Clone, Descriptors, GidMap, Network, PrivateMounts, SetGroups, UidMap};
    let (missing, remedy) = match (error.stage, error.errno) {
        (Clone | Network, Errno::ENOSPC | Errno::EUSERS) => {
            let limit = machine.none_allowed.first()?;
            (
                format!("this machine allows no namespaces (`user.{limit}` is 0)"),
                format!("allow them: `sudo sysctl -w user.{limit}=10000`"),
            )
        }
        (Clone, Errno::EINVAL) => (
            "this kernel lacks user, network, PID or another kind of namespaces".to_owned(),
            "use a kernel with CONFIG_USER_NS, CONFIG_NET_NS, CONFIG_PID_NS, CONFIG_UTS_NS and CONFIG_IPC_NS"
                .to_owned(),
        ),
        (Descriptors, Errno::ENOSYS) => (
            "this kernel lacks `close_range`".to_owned(),
            "use Linux 5.9 or newer, or a container that allows the call".to_owned(),
        ),
        (
            Clone | SetGroups | UidMap | GidMap | PrivateMounts | Network,
            Errno::EPERM | Errno::EACCES | Errno::ENOSYS,
        ) => {
            let denied = format!("user namespaces are denied here ({error})");
            if machine.apparmor {
                (
                    format!("AppArmor keeps ordinary users from user namespaces ({error})"),
                    format!(
                        "allow them: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, {}",
                        machine.as_root()
                    ),
                )
            } else if machine.userns_clone_off {
                (
                    denied,
                    format!(
                        "allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`, {}",
                        machine.as_root()
                    ),
                )
            } else if machine.filtered {
                (
                    denied,
                    format!(
                        "a seccomp filter is in force, as in a container: `--security-opt seccomp=unconfined` \
                         lifts it, {}",
                        machine.as_root()
                    ),
                )
            } else {
                (
                    denied,
                    format!("lift what denies them (a security module, a chroot), {}", machine.as_root()),
                )
            }
        }
        _ => return None,
    };
    Some(Unavailable::new(missing, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    fn told(stage: Stage, errno: Errno, machine: &Machine) -> String {
        explain(SetupError { stage, errno }, machine).map_or_else(String::new, |found| found.to_string())
    }

    #[test]
    fn each_cause_has_its_remedy() {
        let apparmor = Machine { apparmor: true, ..Machine::default() };
        assert!(
            told(Stage::Clone, Errno::EPERM, &apparmor).contains("apparmor_restrict_unprivileged_userns=0")
        );
        assert!(told(Stage::PrivateMounts, Errno::EACCES, &apparmor).contains("sudo -E"));
        let debian = Machine { userns_clone_off: true, ..Machine::default() };
        assert!(told(Stage::Clone, Errno::EPERM, &debian).contains("kernel.unprivileged_userns_clone=1"));
        let container = Machine { filtered: true, root: true, ..Machine::default() };
        let told_there = told(Stage::Clone, Errno::EPERM, &container);
        assert!(told_there.contains("seccomp=unconfined") && told_there.contains("--privileged"));
        let none = Machine { none_allowed: vec!["max_user_namespaces"], ..Machine::default() };
        assert!(told(Stage::Clone, Errno::ENOSPC, &none).contains("`user.max_user_namespaces` is 0"));
    }

    #[test]
    fn faults_of_the_moment_are_not_the_machines() {
        let machine = Machine::default();
        assert_eq!(told(Stage::Clone, Errno::EAGAIN, &machine), "");
        assert_eq!(told(Stage::Clone, Errno::ENOSPC, &machine), "");
        assert_eq!(told(Stage::Descriptors, Errno::EMFILE, &machine), "");
        assert_eq!(told(Stage::Exec, Errno::EACCES, &machine), "");
    }

    #[test]
    fn strictness_spares_what_the_machine_is_known_to_lack() {
        let settings = |strict| Settings {
            strict,
            without: vec!["ipvs".to_owned()],
            ..settings::get().expect("settings that can be read").clone()
        };
        let lacks = |feature: &str| Unavailable {
            feature: Some(feature.to_owned()),
            ..Unavailable::new("missing", "a remedy")
        };
        assert!(!lacks("ipvs").fails(&settings(true)));
        assert!(lacks("haproxy").fails(&settings(true)));
        assert!(Unavailable::new("no sandbox", "a remedy").fails(&settings(true)));
        assert!(!lacks("haproxy").fails(&settings(false)));
    }
}
