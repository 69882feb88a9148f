//! What the doctor finds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check is about. In the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Whether a lab can be had at all, and of which kind.
    Labs,
    /// What keeps or gives rights.
    Rights,
    /// Firewalls.
    Firewall,
    /// Queueing disciplines.
    Qdiscs,
    /// Kinds of interfaces.
    Interfaces,
    /// What else tests may want of the kernel.
    Kernel,
    /// How much of everything there may be.
    Limits,
    /// The settings in force.
    Settings,
}

impl Group {
    /// What stands over its lines.
    pub fn title(self) -> &'static str {
        match self {
            Self::Labs => "Labs",
            Self::Rights => "Rights",
            Self::Firewall => "Firewall",
            Self::Qdiscs => "Queueing disciplines, tried on an interface",
            Self::Interfaces => "Kinds of interfaces, tried in a namespace",
            Self::Kernel => "Other parts of the kernel",
            Self::Limits => "Limits",
            Self::Settings => "Settings",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is there.
    Ok,
    /// It is not; some tests cannot run, or run otherwise.
    Missing,
    /// Neither good nor bad, or not tried.
    Note,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Note => "note",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it is about.
    pub group: Group,
    /// What was looked at.
    pub name: String,
    /// How that ended.
    pub state: State,
    /// What was found: a value, or what the system said. May be empty.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What mends it, where it is missing: a command, or what to do.
    pub mend: Option<String>,
    /// Whether no lab runs without it.
    pub needed: bool,
}

impl Check {
    fn new(group: Group, name: impl Into<String>, state: State, why: impl Into<String>) -> Self {
        Self {
            group,
            name: name.into(),
            state,
            found: String::new(),
            why: why.into(),
            mend: None,
            needed: false,
        }
    }

    pub(super) fn ok(group: Group, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(group, name, State::Ok, why)
    }

    pub(super) fn note(group: Group, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(group, name, State::Note, why)
    }

    pub(super) fn missing(
        group: Group,
        name: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { mend: Some(mend.into()), ..Self::new(group, name, State::Missing, why) }
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = found.into();
        self
    }

    pub(super) fn needed(mut self) -> Self {
        self.needed = true;
        self
    }
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The kernel's release, as `uname -r`.
    pub kernel: String,
    /// The processor's architecture.
    pub architecture: String,
    /// Who asked: a name, or a number where there is none.
    pub user: String,
    /// Whether labs can run.
    pub labs_can_run: bool,
    /// The checks, by group.
    pub checks: Vec<Check>,
}
