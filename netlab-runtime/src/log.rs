//! What netlab does in a test, told as it does it: `NETLAB_LOG`.
//!
//! Each line is also an event of `tracing`, at level debug with the target `netlab::TOPIC`, for a test that has a subscriber of its own.
//! netlab installs none: there is but one in a process, and a test that installs its own would find the place taken
//! (docs/decisions/0013).

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::settings;

/// What is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Labs: begun, built.
    Labs,
    /// Operations: what is asked of the kernel to build them, as commands, in the order it is asked.
    Ops,
    /// Programs: started, ready, signalled, ended.
    Programs,
    /// Servers: where they listen, and what they are told.
    Servers,
}

impl Topic {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Labs, Self::Ops, Self::Programs, Self::Servers];

    /// What `NETLAB_LOG` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Labs => "labs",
            Self::Ops => "ops",
            Self::Programs => "programs",
            Self::Servers => "servers",
        }
    }

    /// The topics of a list such as `ops,programs`; `all` is all of them.
    pub(crate) fn list(text: &str) -> Result<Vec<Self>, String> {
        let mut topics = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Self::ALL.into_iter().find(|topic| topic.name() == name) {
                Some(topic) => topics.push(topic),
                None if name == "all" => topics.extend(Self::ALL),
                None => {
                    let known = Self::ALL.map(Self::name).join("`, `");
                    return Err(format!("`{name}` is none of `{known}`, `all`"));
                }
            }
        }
        Ok(topics)
    }
}

/// Tells of something: on standard error, which is the test's output, if `NETLAB_LOG` asks for it.
pub(crate) fn tell(topic: Topic, what: fmt::Arguments<'_>) {
    match topic {
        Topic::Labs => tracing::debug!(target: "netlab::labs", "{what}"),
        Topic::Ops => tracing::debug!(target: "netlab::ops", "{what}"),
        Topic::Programs => tracing::debug!(target: "netlab::programs", "{what}"),
        Topic::Servers => tracing::debug!(target: "netlab::servers", "{what}"),
    }
    // In a test's process a setting that cannot be understood is no news: its runner has refused it.
    if settings::get().is_ok_and(|settings| settings.log.contains(&topic)) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!("netlab {} {}: {what}\n", time_of_day(now), topic.name());
        // In one piece: others write, too. Where it is not heard, nothing can be told of that.
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

/// The time of day in UTC, as packet captures have it, from the time since 1970.
fn time_of_day(since: Duration) -> String {
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:06}", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_listed() {
        assert_eq!(Topic::list("ops, programs,"), Ok(vec![Topic::Ops, Topic::Programs]));
        assert_eq!(Topic::list("all"), Ok(Topic::ALL.to_vec()));
        let error = Topic::list("ops,debug").unwrap_err();
        assert_eq!(error, "`debug` is none of `labs`, `ops`, `programs`, `servers`, `all`");
    }

    #[test]
    fn the_time_is_that_of_the_day() {
        // `date -u -d @1763730005`: 2025-11-21 13:00:05.
        assert_eq!(time_of_day(Duration::new(1_763_730_005, 42_999)), "13:00:05.000042");
        assert_eq!(time_of_day(Duration::ZERO), "00:00:00.000000");
    }
}
