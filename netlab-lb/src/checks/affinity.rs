//! Whether a client stays with its backend.

use std::collections::BTreeSet;
use std::time::Duration;

use super::table::Table;
use super::verdict::Verdict;
use crate::observation::Key;
use crate::traffic::Traffic;

/// A question about affinity, to be asked with [`always`](Self::always), [`for_requests_within`](Self::for_requests_within)
/// or [`absent`](Self::absent).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.always()`, `.for_requests_within(..)` or `.absent(..)`"]
pub struct Affinity<'t> {
    traffic: &'t Traffic,
    key: Key,
}

/// Rows that are shown of a table that may have thousands.
const SHOWN: usize = 10;

impl Traffic {
    /// Asks whether all requests with the same key are answered by the same backend.
    pub fn affinity(&self, key: Key) -> Affinity<'_> {
        Affinity { traffic: self, key }
    }
}

impl Affinity<'_> {
    const CHECK: &'static str = "affinity";

    /// All requests with the same key are answered by one backend.
    pub fn always(self) -> Verdict {
        self.for_requests_within(Duration::MAX)
    }

    /// A request that follows another with the same key within this time is answered by the same backend.
    pub fn for_requests_within(self, time: Duration) -> Verdict {
        let groups = self.traffic.answers_by(self.key);
        let name = self.key.name();
        let title = if time == Duration::MAX {
            format!("every {name} keeps its backend")
        } else {
            format!("every {name} keeps its backend for requests within {time:?} of each other")
        };
        let mut table = Table::new(title, [name, "answered by", "then by", "after"]);
        let mut judged = 0;
        let mut broken = 0;
        for (value, answers) in &groups {
            let mut is_broken = false;
            for pair in answers.windows(2) {
                let [(earlier, before), (later, after)] = pair else { continue };
                let apart = later.sent.saturating_sub(earlier.sent);
                if apart > time {
                    continue;
                }
                judged += 1;
                if before.backend != after.backend && !is_broken {
                    is_broken = true;
                    broken += 1;
                    if broken <= SHOWN {
                        let cells = [
                            value.to_string(),
                            before.backend.clone(),
                            after.backend.clone(),
                            format!("{apart:.1?}"),
                        ];
                        table.row(cells, Some("moved".to_owned()));
                    }
                }
            }
        }
        table.note(format!("{broken} of {} moved", groups.len()));
        if judged == 0 {
            table.note(match (self.key, groups.is_empty()) {
                (Key::Cookie, true) => "no answer set a cookie: there is nothing to judge".to_owned(),
                (_, true) => "nothing was answered: there is nothing to judge".to_owned(),
                (Key::Cookie, false) => {
                    "no cookie was sent back (`Load::with_cookies`), or not in that time: there is nothing \
                                         to judge"
                        .to_owned()
                }
                _ => format!("no {name} was answered twice in that time: there is nothing to judge"),
            });
            return Verdict::nothing_to_judge(Self::CHECK, table);
        }
        Verdict::of(Self::CHECK, table)
    }

    /// Requests with the same key are spread over these many backends, as of a balancer that decides anew for each. A key that one
    /// backend alone answers is a fault, if that happens to a right balancer with at most the probability `false_alarm`, all keys
    /// taken together.
    pub fn absent(self, backends: u32, false_alarm: f64) -> Verdict {
        let groups = self.traffic.answers_by(self.key);
        let name = self.key.name();
        let title = format!("no {name} is kept with one of {backends} backends");
        let mut table = Table::new(title, [name, "answers", "backends"]);
        // All later answers from the first one's backend: (1/backends)^(answers - 1).
        let by_chance = |answers: usize| f64::from(backends).powf(1.0 - answers as f64) * groups.len() as f64;
        let mut judged = 0;
        for (value, answers) in &groups {
            if by_chance(answers.len()) > false_alarm {
                continue;
            }
            judged += 1;
            let seen: BTreeSet<&str> = answers.iter().map(|(_, answer)| answer.backend.as_str()).collect();
            if let (1, Some(only)) = (seen.len(), seen.first()) {
                let cells = [value.to_string(), answers.len().to_string(), seen.len().to_string()];
                table.row(cells, Some(format!("always {only}")));
            }
        }
        if judged == 0 {
            // Among a single backend nothing is ever enough.
            let enough = (2..1_000_000).find(|&answers| by_chance(answers) <= false_alarm);
            let enough = enough.map_or_else(|| "more".to_owned(), |answers| answers.to_string());
            let most = groups.values().map(Vec::len).max().unwrap_or(0);
            table.note(format!(
                "it takes {enough} answers to one {name} to tell affinity from chance, and none has more than {most}: there is \
                 nothing to judge"
            ));
            return Verdict::nothing_to_judge(Self::CHECK, table);
        }
        Verdict::of(Self::CHECK, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, at, traffic};
    use crate::observation::Observation;

    fn from(last: u8, number: u64, backend: &str) -> Observation {
        Observation { source: ([192, 0, 2, last], 4000 + number as u16).into(), ..answered(number, backend) }
    }

    #[test]
    fn a_source_that_moves_is_named() {
        let sticky = traffic((0..20).map(|n| from((n % 4) as u8, n, ["web1", "web2"][n as usize % 2])));
        assert!(sticky.affinity(Key::Source).always().is_ok());
        let moved = traffic([from(1, 0, "web1"), from(1, 1, "web1"), from(1, 2, "web2"), from(2, 3, "web2")]);
        let verdict = moved.affinity(Key::Source).always();
        assert!(!verdict.is_ok());
        let text = verdict.to_string();
        assert!(text.contains("192.0.2.1") && text.contains("1 of 2 moved"), "{text}");
        // By address and port every request is somebody else.
        let alone = moved.affinity(Key::SourceAndPort).always();
        assert!(!alone.is_ok() && alone.to_string().contains("nothing to judge"), "{alone}");
    }

    #[test]
    fn after_its_time_a_source_may_move() {
        let moved = traffic([from(1, 0, "web1"), from(1, 10, "web1"), from(1, 500, "web2")]);
        assert!(moved.affinity(Key::Source).for_requests_within(at(100)).is_ok());
        assert!(!moved.affinity(Key::Source).for_requests_within(at(490)).is_ok());
    }

    #[test]
    fn stickiness_where_there_should_be_none_is_found() {
        let sticky = traffic((0..30).map(|n| from(1, n, "web1")));
        assert!(!sticky.affinity(Key::Source).absent(3, 1e-6).is_ok());
        let spread = traffic((0..30).map(|n| from(1, n, ["web1", "web2", "web3"][n as usize % 3])));
        assert!(spread.affinity(Key::Source).absent(3, 1e-6).is_ok());
        let few = traffic((0..3).map(|n| from(1, n, "web1")));
        let verdict = few.affinity(Key::Source).absent(3, 1e-6);
        assert!(verdict.to_string().contains("takes 14 answers to one source address"), "{verdict}");
        assert!(verdict.to_string().contains("none has more than 3: there is nothing to judge"), "{verdict}");
        let nobody = traffic([]).affinity(Key::Source).absent(1, 1e-6).to_string();
        assert!(nobody.contains("nothing to judge"), "{nobody}");
    }
}
