//! The settings that come from the environment, read once. A setting that cannot be understood is an error.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::Duration;

use netlab_topology::parse_duration;

use crate::log::Topic;

/// Of how many finished labs the namespaces are held before they are let go together: more than most suites have,
/// since the kernel spends some 16 ms on each bridge, one after the other, while nobody else can build.
const DEFAULT_RETIRE: usize = 512;

/// The variables, and what each says.
pub const VARIABLES: [(&str, &str); 10] = [
    ("NETLAB_STRICT", "what cannot run here fails, rather than being ignored"),
    ("CI", "likewise, unless NETLAB_STRICT=0"),
    (
        "NETLAB_WITHOUT",
        "what the machine is known to lack, such as `ipvs,haproxy`: tests that require it are ignored all the same",
    ),
    ("NETLAB_TIMEOUT", "the limit of tests that have none of their own"),
    ("NETLAB_TIMEOUT_SCALE", "what every limit is multiplied by"),
    ("NETLAB_THREADS", "how many tests run at once"),
    ("RUST_TEST_THREADS", "likewise, unless NETLAB_THREADS is set"),
    ("NETLAB_RETIRE", "of how many finished labs the namespaces are let go together"),
    ("NETLAB_USERS", "`one`: a sandbox has no other user than root"),
    ("NETLAB_LOG", "what is told of as it is done: `labs`, `ops`, `programs`, `servers`, or `all`"),
];

/// What the environment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `NETLAB_STRICT`, or `CI`: what cannot run here fails, rather than being ignored with the reason.
    pub strict: bool,
    /// `NETLAB_WITHOUT`: what the machine is known to lack. Tests that [require](crate::sandbox::requires) it are ignored, strict or not.
    pub without: Vec<String>,
    /// `NETLAB_TIMEOUT`: the limit of tests that have none of their own.
    pub timeout: Option<Duration>,
    /// `NETLAB_TIMEOUT_SCALE`: what every limit is multiplied by.
    pub timeout_scale: f64,
    /// `NETLAB_THREADS`, or else `RUST_TEST_THREADS`: how many tests run at once.
    pub threads: Option<NonZeroUsize>,
    /// `NETLAB_RETIRE`: of how many finished labs the namespaces are held before they are let go together, since
    /// their destruction slows the building of others; 0 lets each go at once. For measurements.
    pub retire: usize,
    /// `NETLAB_USERS=one`: a sandbox of an ordinary user has one user, though a range of them could be had. Making the range
    /// takes two milliseconds, once per runner; under cargo-nextest, that is once per test.
    pub one_user: bool,
    /// `NETLAB_LOG`: what is told of as it is done, on the test's output.
    pub log: Vec<Topic>,
    /// `RUST_TEST_NOCAPTURE`, other than `0`: output goes out as it is written.
    pub live: bool,
}

/// The settings of this process.
///
/// # Errors
///
/// Every setting that cannot be understood, a line each.
pub fn get() -> Result<&'static Settings, &'static str> {
    static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();
    SETTINGS.get_or_init(|| Settings::read(variable)).as_ref().map_err(String::as_str)
}

/// A limit as it is on this machine: multiplied by `NETLAB_TIMEOUT_SCALE`.
pub fn scaled(limit: Duration) -> Duration {
    // In a test's process a setting that cannot be understood is no news: its runner has refused it.
    get().map_or(limit, |settings| settings.scaled(limit))
}

/// A variable of the environment; one that is not UTF-8 is as good as unset.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether `RUST_BACKTRACE` asks for backtraces.
pub(crate) fn wants_backtrace() -> bool {
    variable("RUST_BACKTRACE").is_some_and(|value| value != "0")
}

impl Settings {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut wrong = Vec::new();
        // A variable set to nothing is as good as unset.
        let set = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let mut note = |name: &str, problem: String| wrong.push(format!("{name}: {problem}"));

        let strict = set("NETLAB_STRICT")
            .and_then(|value| truth(&value).map_err(|problem| note("NETLAB_STRICT", problem)).ok());
        let ci = set("CI").is_some_and(|value| truth(&value) != Ok(false));
        let without = set("NETLAB_WITHOUT").unwrap_or_default();
        let without = without.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let timeout = set("NETLAB_TIMEOUT")
            .and_then(|value| parse_duration(&value).map_err(|problem| note("NETLAB_TIMEOUT", problem)).ok());
        let timeout_scale = set("NETLAB_TIMEOUT_SCALE").and_then(|value| match value.parse::<f64>() {
            Ok(scale) if scale > 0.0 && scale.is_finite() => Some(scale),
            _ => {
                note("NETLAB_TIMEOUT_SCALE", format!("`{value}` is not a factor such as `4` or `0.5`"));
                None
            }
        });
        let mut count = |name: &str| {
            set(name).and_then(|value| {
                let count = value.parse::<NonZeroUsize>();
                count.map_err(|_any| note(name, format!("`{value}` is not a number of threads, from 1"))).ok()
            })
        };
        let threads = count("NETLAB_THREADS");
        let threads = threads.or_else(|| count("RUST_TEST_THREADS"));
        let retire = set("NETLAB_RETIRE").and_then(|value| {
            let labs = value.parse::<usize>();
            labs.map_err(|_any| note("NETLAB_RETIRE", format!("`{value}` is not a number of labs"))).ok()
        });
        let one_user = set("NETLAB_USERS").is_some_and(|value| match value.as_str() {
            "one" => true,
            "all" => false,
            _ => {
                note("NETLAB_USERS", format!("`{value}` is neither `one` nor `all`"));
                false
            }
        });
        let log = set("NETLAB_LOG")
            .and_then(|value| Topic::list(&value).map_err(|problem| note("NETLAB_LOG", problem)).ok());
        let live = set("RUST_TEST_NOCAPTURE").is_some_and(|value| value != "0");

        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        Ok(Self {
            strict: strict.unwrap_or(ci),
            without: without.collect(),
            timeout,
            timeout_scale: timeout_scale.unwrap_or(1.0),
            threads,
            retire: retire.unwrap_or(DEFAULT_RETIRE),
            one_user,
            log: log.unwrap_or_default(),
            live,
        })
    }

    /// A limit as it is on this machine: multiplied by `NETLAB_TIMEOUT_SCALE`.
    pub fn scaled(&self, limit: Duration) -> Duration {
        Duration::try_from_secs_f64(limit.as_secs_f64() * self.timeout_scale).unwrap_or(Duration::MAX)
    }
}

fn truth(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{value}` is neither `1` nor `0`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        let settings = read(&[]).unwrap();
        assert!(!settings.strict && !settings.live && !settings.one_user);
        assert_eq!((settings.timeout_scale, settings.threads, settings.retire), (1.0, None, DEFAULT_RETIRE));
        assert_eq!(read(&[("NETLAB_TIMEOUT", ""), ("CI", "")]).unwrap(), settings);
    }

    #[test]
    fn what_is_set_is_read() {
        let settings = read(&[
            ("CI", "true"),
            ("NETLAB_TIMEOUT", "1.5s"),
            ("NETLAB_TIMEOUT_SCALE", "4"),
            ("NETLAB_THREADS", "3"),
            ("RUST_TEST_THREADS", "8"),
            ("NETLAB_RETIRE", "0"),
            ("NETLAB_USERS", "one"),
            ("NETLAB_WITHOUT", "ipvs, haproxy,"),
            ("NETLAB_LOG", "ops"),
        ])
        .unwrap();
        assert_eq!(settings.log, [Topic::Ops]);
        assert_eq!(settings.without, ["ipvs", "haproxy"]);
        assert!(settings.strict && settings.one_user);
        assert_eq!(settings.timeout, Some(Duration::from_millis(1500)));
        assert_eq!((settings.timeout_scale, settings.retire), (4.0, 0));
        assert_eq!(settings.threads, NonZeroUsize::new(3));
        assert!(!read(&[("CI", "true"), ("NETLAB_STRICT", "0")]).unwrap().strict);
        assert_eq!(read(&[("RUST_TEST_THREADS", "8")]).unwrap().threads, NonZeroUsize::new(8));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_and_all_of_it_at_once() {
        let wrong = read(&[
            ("NETLAB_STRICT", "maybe"),
            ("NETLAB_TIMEOUT", "soon"),
            ("NETLAB_TIMEOUT_SCALE", "-1"),
            ("NETLAB_THREADS", "0"),
            ("NETLAB_RETIRE", "few"),
            ("NETLAB_USERS", "two"),
        ])
        .unwrap_err();
        assert_eq!(wrong.lines().count(), 6, "{wrong}");
        assert!(wrong.contains("NETLAB_TIMEOUT: `soon` is not a duration"));
    }
}
