//! Requests that got no answer: how many, of which kind, and for how long.

use std::time::Duration;

use super::table::Table;
use super::verdict::Verdict;
use crate::clock::at;
use crate::observation::{Miss, Observation};
use crate::traffic::Traffic;

/// Bounds on what may go wrong, as when a backend fails, or the balancer reloads. Nothing may, unless allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    failed: u64,
    gap: Option<Duration>,
}

impl Misses {
    /// Not one request may fail.
    pub fn none() -> Self {
        Self::default()
    }

    /// This many requests may fail, in any way.
    pub fn at_most(failed: u64) -> Self {
        Self { failed, gap: None }
    }

    /// From one answer to the next may pass no longer than this.
    #[must_use]
    pub fn longest_gap(self, gap: Duration) -> Self {
        Self { gap: Some(gap), ..self }
    }
}

impl Traffic {
    /// The longest time from one answer to the next, and when it began. The beginning and the end of the load count as answers.
    pub fn longest_gap(&self) -> Option<(Duration, Duration)> {
        let begin = self.observations().first()?.sent;
        let end = self.observations().iter().map(Observation::done).max()?;
        let mut times: Vec<Duration> = self.answers().map(|(observation, _)| observation.done()).collect();
        times.extend([begin, end]);
        times.sort();
        let gaps = times.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]));
        gaps.max_by_key(|(gap, _)| *gap)
    }

    /// Asks whether no more went wrong than may.
    pub fn loses(&self, allowed: Misses) -> Verdict {
        const CHECK: &str = "failover";
        let failed = self.misses().count() as u64;
        let total = self.observations().len();
        let mut table = Table::new(format!("of {total} requests"), ["", "seen", "allowed"]);
        let wrong = (failed > allowed.failed).then(|| self.misses_in_words());
        let cells = ["failed requests".to_owned(), failed.to_string(), format!("0..={}", allowed.failed)];
        table.row(cells, wrong);
        if let Some((first, _)) = self.misses().next() {
            table.note(format!("the first that failed was sent at {}", at(first.sent)));
        }
        let Some((gap, began)) = self.longest_gap() else {
            table.note("nothing was sent: there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        };
        let bound = allowed.gap.map_or_else(|| "any".to_owned(), |bound| format!("0..={bound:?}"));
        let wrong = allowed.gap.filter(|bound| gap > *bound).map(|_| format!("from {} on", at(began)));
        let too_long = wrong.is_some();
        table.row(["longest time without an answer".to_owned(), format!("{gap:.1?}"), bound], wrong);
        Verdict::of(CHECK, table).drawing(|| {
            let timeline = self.timeline();
            if too_long { timeline.mark(began, format!("{gap:.1?} without an answer")) } else { timeline }
        })
    }

    /// Asks whether every request failed, in one of these ways and within this time, as it should with no backend left: an error
    /// at once, not silence.
    pub fn all_fail(&self, ways: &[Miss], within: Duration) -> Verdict {
        const CHECK: &str = "no backend left";
        let words: Vec<String> = ways.iter().map(ToString::to_string).collect();
        let title = format!("every request fails within {within:?}: {}", words.join(" or "));
        let mut table = Table::new(title, ["sent", "took", "outcome"]).showing(10);
        for observation in self.observations() {
            let (outcome, wrong) = match &observation.outcome {
                Ok(answer) => (format!("answered by {}", answer.backend), Some("should have failed")),
                Err(miss) if !ways.contains(miss) => (miss.to_string(), Some("failed in another way")),
                Err(miss) if observation.took > within => (miss.to_string(), Some("too late")),
                Err(miss) => (miss.to_string(), None),
            };
            if let Some(wrong) = wrong {
                let cells = [at(observation.sent), format!("{:.1?}", observation.took), outcome];
                table.row(cells, Some(wrong.to_owned()));
            }
        }
        table.note(format!("{} requests", self.observations().len()));
        if self.observations().is_empty() {
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, at, missed, traffic};

    #[test]
    fn failures_and_gaps_are_bounded_apart() {
        let outage =
            traffic(
                (0..100).map(|n| {
                    if (40..60).contains(&n) { missed(n, Miss::Refused) } else { answered(n, "web1") }
                }),
            );
        assert_eq!(outage.longest_gap(), Some((at(21), at(39) + Duration::from_micros(500))));
        assert!(outage.loses(Misses::at_most(20).longest_gap(at(21))).is_ok());
        assert!(!outage.loses(Misses::at_most(19)).is_ok());
        assert!(!outage.loses(Misses::at_most(20).longest_gap(at(20))).is_ok());
        assert!(outage.loses(Misses::none()).to_string().contains("20 refused"));
        assert!(!traffic([]).loses(Misses::none()).is_ok());
    }

    #[test]
    fn what_does_not_hold_is_drawn() {
        let outage =
            traffic((0..60).map(|n| if n < 20 { missed(n, Miss::Refused) } else { answered(n, "web1") }));
        let allowed = Misses::at_most(20);
        assert!(!outage.loses(allowed).to_string().contains('█'), "what holds needs no chart");
        let drawn = outage.loses(allowed.longest_gap(at(5))).to_string();
        assert!(drawn.contains("▼ 20.5ms without an answer\n  web1"), "{drawn}");
        assert!(drawn.contains("\n  failed  ███████████████████"), "{drawn}");
    }

    #[test]
    fn silence_at_the_end_is_a_gap_as_well() {
        let ends =
            traffic((0..100).map(|n| if n < 50 { answered(n, "web1") } else { missed(n, Miss::TimedOut) }));
        assert!(!ends.loses(Misses::at_most(50).longest_gap(at(40))).is_ok());
    }

    #[test]
    fn without_a_backend_errors_come_at_once() {
        let refused = traffic((0..5).map(|n| missed(n, Miss::Refused)));
        assert!(refused.all_fail(&[Miss::Refused, Miss::Status(503)], at(1)).is_ok());
        assert!(refused.all_fail(&[Miss::Reset], at(1)).to_string().contains("failed in another way"));
        assert!(refused.all_fail(&[Miss::Refused], Duration::ZERO).to_string().contains("too late"));
        let one = traffic([answered(0, "web1")]);
        assert!(one.all_fail(&[Miss::Refused], at(1)).to_string().contains("should have failed"));
    }
}
