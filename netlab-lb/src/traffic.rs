//! All that a load saw.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::observation::{Answer, Key, KeyValue, Miss, Observation};

/// What became of every request of a load, in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    observations: Vec<Observation>,
}

impl FromIterator<Observation> for Traffic {
    fn from_iter<I: IntoIterator<Item = Observation>>(observations: I) -> Self {
        let mut observations: Vec<Observation> = observations.into_iter().collect();
        observations.sort_by_key(|observation| observation.sent);
        Self { observations }
    }
}

impl Traffic {
    /// Every request, in the order in which they were sent.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Those of its requests for which `keep` is true.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Observation) -> bool) -> Self {
        Self {
            observations: self.observations.iter().filter(|observation| keep(observation)).cloned().collect(),
        }
    }

    /// Its requests sent at this time or later.
    #[must_use]
    pub fn since(&self, time: Duration) -> Self {
        self.only(|observation| observation.sent >= time)
    }

    /// Its requests that were answered, or had failed, before this time. What is sent before something changes and answered after it,
    /// and may be due to either, is neither before nor [since](Self::since).
    #[must_use]
    pub fn before(&self, time: Duration) -> Self {
        self.only(|observation| observation.done() < time)
    }

    /// The requests that were answered, with their answers.
    pub fn answers(&self) -> impl Iterator<Item = (&Observation, &Answer)> {
        self.observations
            .iter()
            .filter_map(|observation| Some((observation, observation.outcome.as_ref().ok()?)))
    }

    /// The requests that were not, with the reason.
    pub fn misses(&self) -> impl Iterator<Item = (&Observation, &Miss)> {
        self.observations
            .iter()
            .filter_map(|observation| Some((observation, observation.outcome.as_ref().err()?)))
    }

    /// How many requests each backend answered.
    pub fn answers_by_backend(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for (_, answer) in self.answers() {
            *counts.entry(answer.backend.as_str()).or_default() += 1;
        }
        counts
    }

    /// How many requests failed in each way.
    pub fn misses_by_kind(&self) -> BTreeMap<&Miss, u64> {
        let mut counts = BTreeMap::new();
        for (_, miss) in self.misses() {
            *counts.entry(miss).or_default() += 1;
        }
        counts
    }

    /// The failures as a phrase: `3 refused, 1 timed out`.
    pub(crate) fn misses_in_words(&self) -> String {
        let kinds: Vec<String> =
            self.misses_by_kind().into_iter().map(|(miss, count)| format!("{count} {miss}")).collect();
        kinds.join(", ")
    }

    /// The answered requests of each key, in the order in which they were sent.
    pub(crate) fn answers_by(&self, key: Key) -> BTreeMap<KeyValue, Vec<(&Observation, &Answer)>> {
        let mut groups: BTreeMap<KeyValue, Vec<_>> = BTreeMap::new();
        for (observation, answer) in self.answers() {
            if let Some(value) = key.of(observation) {
                groups.entry(value).or_default().push((observation, answer));
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::sample::{answered, at, traffic};

    #[test]
    fn what_is_under_way_at_a_time_is_neither_before_it_nor_since() {
        // One each millisecond, which takes half of it.
        let seen = traffic((0..10).map(|n| answered(n, "web1")));
        let time = at(4) + std::time::Duration::from_micros(250);
        let count = |part: &super::Traffic| part.observations().len();
        assert_eq!((count(&seen.before(time)), count(&seen.since(time))), (4, 5));
    }
}
