//! Whether a drained backend gets nothing new and keeps what it has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::Table;
use super::verdict::Verdict;
use crate::clock::at;
use crate::observation::Observation;
use crate::traffic::Traffic;

/// The draining of one backend, which began at a time of the load. Two questions, which are apart because a balancer may get
/// either wrong: [`nothing_new`](Self::nothing_new) and [`keeps_open`](Self::keeps_open).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.nothing_new(..)` and `.keeps_open(..)`"]
pub struct Drain<'t> {
    traffic: &'t Traffic,
    backend: String,
    began: Duration,
}

impl Traffic {
    /// Asks about the draining of a backend that began at this time of the load.
    pub fn drain(&self, backend: impl Into<String>, began: Duration) -> Drain<'_> {
        Drain { traffic: self, backend: backend.into(), began }
    }

    /// The requests of each connection, in order.
    fn connections(&self) -> BTreeMap<u64, Vec<&Observation>> {
        let mut connections: BTreeMap<u64, Vec<&Observation>> = BTreeMap::new();
        for observation in self.observations() {
            connections.entry(observation.connection).or_default().push(observation);
        }
        connections
    }
}

impl Drain<'_> {
    /// No connection that was opened later than `grace` after the draining began goes to the backend: that long the balancer may
    /// take to notice.
    pub fn nothing_new(&self, grace: Duration) -> Verdict {
        const CHECK: &str = "drain, nothing new";
        let end = self.began.saturating_add(grace);
        let title = format!("no connection opened after {} goes to {}", at(end), self.backend);
        let mut table = Table::new(title, ["connection", "opened", "backend"]).showing(10);
        let mut later = 0;
        for (number, requests) in self.traffic.connections() {
            let Some(first) = requests.first().filter(|first| first.sent > end) else { continue };
            later += 1;
            if first.backend() == Some(&self.backend) {
                let cells = [number.to_string(), at(first.sent), self.backend.clone()];
                table.row(cells, Some(format!("{:.1?} too late", first.sent.saturating_sub(end))));
            }
        }
        table.note(format!("{later} connections were opened after that"));
        if later == 0 {
            table.note("go on for longer, or there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table).drawing(|| self.traffic.timeline().mark(self.began, "drained"))
    }

    /// Every connection that the backend had when the draining began goes on being answered by it, up to this time after: no
    /// request fails, and none is answered by another. At least one must have lived that long.
    pub fn keeps_open(&self, at_least: Duration) -> Verdict {
        const CHECK: &str = "drain, open connections";
        let end = self.began.saturating_add(at_least);
        let title =
            format!("connections that {} had at {} live on until {}", self.backend, at(self.began), at(end));
        let mut table = Table::new(title, ["connection", "sent", "answered by"]).showing(10);
        let (mut open, mut lived) = (0, 0);
        for (number, requests) in self.traffic.connections() {
            let had = requests
                .iter()
                .any(|request| request.sent < self.began && request.backend() == Some(&self.backend));
            let mut after = requests.iter().filter(|request| request.sent >= self.began).peekable();
            if !had || after.peek().is_none() {
                continue;
            }
            open += 1;
            lived +=
                usize::from(requests.iter().any(|request| {
                    request.done() >= end && request.backend() == Some(self.backend.as_str())
                }));
            for request in after.filter(|request| request.sent < end) {
                let (by, wrong) = match &request.outcome {
                    Ok(answer) if answer.backend == self.backend => continue,
                    Ok(answer) => (answer.backend.clone(), "moved".to_owned()),
                    Err(miss) => ("(no answer)".to_owned(), miss.to_string()),
                };
                table.row([number.to_string(), at(request.sent), by], Some(wrong));
                break;
            }
        }
        table.note(format!("{open} were open and in use, {lived} of them past {}", at(end)));
        if lived == 0 && !table.is_wrong() {
            table.note(
                "none was asked and answered after that: go on for longer, or there is nothing to judge",
            );
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table).drawing(|| self.traffic.timeline().mark(self.began, "drained"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, at, missed, traffic};
    use crate::observation::Miss;

    /// Connection 1 lives from 0 to 90 ms at web1; others are opened every 10 ms.
    fn drained(lives_until: u64, new: impl Fn(u64) -> &'static str) -> Traffic {
        let long = (0..10).map(|n| {
            let request =
                if n * 10 <= lives_until { answered(n * 10, "web1") } else { missed(n * 10, Miss::Reset) };
            Observation { connection: 1, ..request }
        });
        let fresh = (0..9).map(|n| answered(n * 10 + 5, new(n * 10 + 5)));
        traffic(long.chain(fresh))
    }

    #[test]
    fn both_halves_hold_or_fail_on_their_own() {
        let good = drained(90, |time| if time < 50 { "web1" } else { "web2" });
        assert!(good.drain("web1", at(40)).nothing_new(at(10)).is_ok());
        assert!(good.drain("web1", at(40)).keeps_open(at(50)).is_ok());
        let still_chosen = drained(90, |_| "web1");
        assert!(!still_chosen.drain("web1", at(40)).nothing_new(at(10)).is_ok());
        assert!(still_chosen.drain("web1", at(40)).keeps_open(at(50)).is_ok());
        let cut = drained(60, |time| if time < 50 { "web1" } else { "web2" });
        assert!(cut.drain("web1", at(40)).nothing_new(at(10)).is_ok());
        let verdict = cut.drain("web1", at(40)).keeps_open(at(50));
        assert!(!verdict.is_ok() && verdict.to_string().contains("reset"), "{verdict}");
    }

    #[test]
    fn without_traffic_nothing_is_proved() {
        let early = drained(90, |_| "web1");
        assert!(!early.drain("web1", at(500)).nothing_new(at(0)).is_ok());
        assert!(!early.drain("web2", at(40)).keeps_open(at(10)).is_ok());
    }
}
