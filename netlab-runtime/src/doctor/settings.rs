//! The settings in force.

use super::check::{Check, Group};
use crate::settings::{self, VARIABLES};

pub(super) fn checks() -> Vec<Check> {
    let set: Vec<_> = VARIABLES
        .iter()
        .filter_map(|&(name, meaning)| Some((name, meaning, settings::variable(name)?)))
        .collect();
    let wrong = settings::get().err().unwrap_or("");
    if set.is_empty() {
        return vec![
            Check::note(Group::Settings, "none", "every setting has its default").found("all defaults"),
        ];
    }
    let judged = |(name, meaning, value): (&str, &str, String)| {
        let problem = wrong.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        match problem {
            Some(problem) => Check::missing(Group::Settings, name, meaning, format!("unset {name}"))
                .found(problem)
                .needed(),
            None => Check::note(Group::Settings, name, meaning).found(value),
        }
    };
    set.into_iter().map(judged).collect()
}
