//! Which part of the load each backend gets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::binomial;
use super::table::Table;
use super::verdict::Verdict;
use crate::observation::Key;
use crate::traffic::Traffic;

/// A question about shares, to be asked with [`exactly`](Self::exactly), [`within`](Self::within) or
/// [`by_chance`](Self::by_chance).
///
/// Requests without an answer fail it, unless [`ignoring_misses`](Self::ignoring_misses).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.exactly()`, `.within(..)` or `.by_chance(..)`"]
pub struct Share<'t> {
    traffic: &'t Traffic,
    /// In the order given.
    weights: Vec<(String, u64)>,
    unit: Option<Key>,
    ignore_misses: bool,
}

impl Traffic {
    /// Asks whether backends get shares in proportion to these weights. One with weight 0 is to get nothing, as a drained one is;
    /// one that is not mentioned is a fault if it answers.
    pub fn share<N: Into<String>>(&self, weights: impl IntoIterator<Item = (N, u64)>) -> Share<'_> {
        let weights = weights.into_iter().map(|(name, weight)| (name.into(), weight)).collect();
        Share { traffic: self, weights, unit: None, ignore_misses: false }
    }

    /// Asks whether these backends, and no others, get equal shares: names, or nodes that are called as their backends are.
    pub fn share_equally<N: Into<String>>(&self, backends: impl IntoIterator<Item = N>) -> Share<'_> {
        self.share(backends.into_iter().map(|backend| (backend, 1)))
    }
}

impl Share<'_> {
    /// Counts what the balancer decides by, rather than requests: with affinity by source, each source once, for the backend that
    /// answered it first. Only then are decisions independent, as [`by_chance`](Self::by_chance) takes them to be.
    pub fn counting(mut self, unit: Key) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Judges the answered requests alone.
    pub fn ignoring_misses(mut self) -> Self {
        self.ignore_misses = true;
        self
    }

    /// Every backend gets its share to the request, as of round robin; where it is no whole number, either neighbour will do.
    pub fn exactly(self) -> Verdict {
        let title = "shares in proportion to the weights, exactly";
        self.judge(title, |expected, _| expected.floor() as u64..=expected.ceil() as u64)
    }

    /// Every backend gets its share, give or take this many requests.
    pub fn within(self, slack: u64) -> Verdict {
        let title = format!("shares in proportion to the weights, give or take {slack}");
        self.judge(&title, |expected, _| {
            (expected.floor() as u64).saturating_sub(slack)..=(expected.ceil() as u64).saturating_add(slack)
        })
    }

    /// Every backend gets its share by chance, each decision independent of the others. `false_alarm` is the probability that a
    /// balancer which does just that fails the check; what is allowed follows from it, by the binomial distribution, divided among
    /// the backends (Bonferroni).
    ///
    /// # Panics
    ///
    /// `false_alarm` is no probability between 0 and 1.
    #[track_caller]
    pub fn by_chance(self, false_alarm: f64) -> Verdict {
        assert!(
            false_alarm > 0.0 && false_alarm < 1.0,
            "`false_alarm` is {false_alarm}, and must be between 0 and 1, as 1e-6 is"
        );
        let risky = self.weights.iter().filter(|(_, weight)| *weight > 0).count().max(1);
        let title =
            format!("shares by chance (a right balancer fails once in {:.0} runs)", 1.0 / false_alarm);
        let total = self.counts().values().sum();
        self.judge(&title, |_, probability| binomial::range(total, probability, false_alarm / risky as f64))
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        match self.unit {
            None => {
                for (backend, count) in self.traffic.answers_by_backend() {
                    counts.insert(backend.to_owned(), count);
                }
            }
            Some(unit) => {
                for answers in self.traffic.answers_by(unit).into_values() {
                    if let Some((_, first)) = answers.first() {
                        *counts.entry(first.backend.clone()).or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    fn judge(&self, how: &str, allowed: impl Fn(f64, f64) -> RangeInclusive<u64>) -> Verdict {
        const CHECK: &str = "share";
        let counts = self.counts();
        let total: u64 = counts.values().sum();
        let units = self.unit.map_or_else(
            || "answered requests".to_owned(),
            |unit| format!("answers, a {} each", unit.name()),
        );
        let title = format!("of {total} {units}: {how}");
        let mut table = Table::new(title, ["backend", "weight", "expected", "seen", "allowed"]);
        let weights: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        for (backend, weight) in &self.weights {
            let probability = if weights == 0 { 0.0 } else { *weight as f64 / weights as f64 };
            let expected = total as f64 * probability;
            let allowed = allowed(expected, probability);
            let seen = counts.get(backend).copied().unwrap_or(0);
            let wrong = match seen {
                0 if !allowed.contains(&0) => Some("never chosen"),
                _ if *weight == 0 && seen > 0 => Some("should get nothing"),
                _ if seen < *allowed.start() => Some("too few"),
                _ if seen > *allowed.end() => Some("too many"),
                _ => None,
            };
            let cells = [
                backend.clone(),
                weight.to_string(),
                format!("{expected:.1}"),
                seen.to_string(),
                format!("{}..={}", allowed.start(), allowed.end()),
            ];
            table.row(cells, wrong.map(str::to_owned));
        }
        let known: BTreeSet<&str> = self.weights.iter().map(|(name, _)| name.as_str()).collect();
        for (backend, seen) in counts.iter().filter(|(backend, _)| !known.contains(backend.as_str())) {
            let cells = [backend.clone(), String::new(), String::new(), seen.to_string(), "0..=0".to_owned()];
            table.row(cells, Some("is none of the backends".to_owned()));
        }
        let misses = self.traffic.misses().count();
        if misses > 0 {
            let words = self.traffic.misses_in_words();
            if self.ignore_misses {
                table.note(format!("without an answer, and not counted: {words}"));
            } else {
                let cells = [
                    "(no answer)".to_owned(),
                    String::new(),
                    String::new(),
                    misses.to_string(),
                    "0..=0".to_owned(),
                ];
                table.row(cells, Some(words));
            }
        }
        if total == 0 {
            table.note("nothing was answered: there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, missed, traffic};
    use crate::observation::Miss;

    const EQUAL: [(&str, u64); 3] = [("web1", 1), ("web2", 1), ("web3", 1)];

    #[test]
    fn round_robin_is_exact() {
        let fair = traffic((0..30).map(|n| answered(n, ["web1", "web2", "web3"][n as usize % 3])));
        assert!(fair.share(EQUAL).exactly().is_ok());
        let not_divisible = traffic((0..31).map(|n| answered(n, ["web1", "web2", "web3"][n as usize % 3])));
        assert!(not_divisible.share(EQUAL).exactly().is_ok());
        let weighted =
            traffic((0..40).map(|n| answered(n, ["web1", "web1", "web2", "web3"][n as usize % 4])));
        assert!(weighted.share([("web1", 2), ("web2", 1), ("web3", 1)]).exactly().is_ok());
        assert!(!weighted.share(EQUAL).exactly().is_ok());
        assert!(weighted.share(EQUAL).within(7).is_ok());
    }

    #[test]
    fn a_backend_that_is_never_chosen_is_named() {
        let unfair = traffic((0..300).map(|n| answered(n, ["web1", "web2"][n as usize % 2])));
        let verdict = unfair.share(EQUAL).by_chance(1e-6);
        insta::assert_snapshot!(verdict, @r"
        share does not hold: of 300 answered requests: shares by chance (a right balancer fails once in 1000000 runs)
          backend  weight  expected  seen   allowed
          web1          1     100.0   150  60..=143  <- too many
          web2          1     100.0   150  60..=143  <- too many
          web3          1     100.0     0  60..=143  <- never chosen
        ");
    }

    #[test]
    fn who_should_get_nothing_gets_nothing() {
        let drained = traffic((0..10).map(|n| answered(n, if n == 7 { "web2" } else { "web1" })));
        let verdict = drained.share([("web1", 1), ("web2", 0)]).exactly();
        assert!(verdict.to_string().contains("should get nothing"), "{verdict}");
        let stranger = traffic([answered(0, "web9")]);
        assert!(stranger.share([("web1", 1)]).within(10).to_string().contains("is none of the backends"));
    }

    #[test]
    fn requests_without_an_answer_are_a_fault_unless_ignored() {
        let lossy =
            traffic((0..10).map(|n| if n == 3 { missed(n, Miss::Refused) } else { answered(n, "web1") }));
        assert!(!lossy.share([("web1", 1)]).exactly().is_ok());
        assert!(lossy.share([("web1", 1)]).ignoring_misses().exactly().is_ok());
    }

    #[test]
    fn nothing_answered_proves_nothing() {
        assert!(!traffic([]).share([("web1", 0)]).exactly().is_ok());
    }

    #[test]
    fn sources_count_once() {
        // One source sends most of the load: by requests that is unfair, by sources it is not.
        let traffic = traffic((0..100).map(|n| {
            let mut observation = answered(n, if n < 98 { "web1" } else { "web2" });
            let last = if n < 98 { 1 } else { 2 };
            observation.source = ([192, 0, 2, last], 4000).into();
            observation
        }));
        let weights = [("web1", 1), ("web2", 1)];
        assert!(!traffic.share(weights).by_chance(1e-6).is_ok());
        assert!(traffic.share(weights).counting(Key::Source).exactly().is_ok());
    }
}
