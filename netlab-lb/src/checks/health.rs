//! How fast a balancer notices that a backend falls and rises again.

use std::time::Duration;

use super::table::Table;
use super::verdict::Verdict;
use crate::clock::at;
use crate::traffic::Traffic;

/// One backend as the load saw it, to be asked with [`leaves`](Self::leaves), [`returns`](Self::returns) and
/// [`flaps`](Self::flaps).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.leaves(..)`, `.returns(..)` or `.flaps(..)`"]
pub struct Health<'t> {
    traffic: &'t Traffic,
    backend: String,
}

impl Traffic {
    /// Asks about a backend's health as the balancer sees it.
    pub fn health(&self, backend: impl Into<String>) -> Health<'_> {
        Health { traffic: self, backend: backend.into() }
    }
}

impl Health<'_> {
    /// The backend answers no request that was sent later than `within` after `down`.
    pub fn leaves(&self, down: Duration, within: Duration) -> Verdict {
        const CHECK: &str = "health, fall";
        let end = down.saturating_add(within);
        let title =
            format!("{}, down since {}, answers nothing sent after {}", self.backend, at(down), at(end));
        let mut table = Table::new(title, ["sent", "answered by"]).showing(10);
        let later = self.traffic.since(end).only(|observation| observation.sent > end);
        for (observation, answer) in later.answers().filter(|(_, answer)| answer.backend == self.backend) {
            table.row([at(observation.sent), answer.backend.clone()], Some("still chosen".to_owned()));
        }
        table.note(format!("{} requests were sent after that", later.observations().len()));
        if later.observations().is_empty() {
            table.note("go on for longer, or there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table).drawing(|| {
            self.traffic.timeline().mark(down, "down").mark(end, "it answers nothing from here on")
        })
    }

    /// The backend answers a request that was sent after `up`, and no later than `within` after it.
    pub fn returns(&self, up: Duration, within: Duration) -> Verdict {
        const CHECK: &str = "health, rise";
        let end = up.saturating_add(within);
        let first = self
            .traffic
            .answers()
            .find(|(observation, answer)| observation.sent >= up && answer.backend == self.backend)
            .map(|(observation, _)| observation.sent);
        let mut table = Table::new(format!("{} is chosen again", self.backend), ["", "seen", "allowed"]);
        let seen = first.map_or_else(|| "never".to_owned(), at);
        let wrong = match first {
            None => Some("never"),
            Some(first) if first > end => Some("too late"),
            Some(_) => None,
        };
        table.row(
            ["the first that it answered was sent at".to_owned(), seen, format!("{}..={}", at(up), at(end))],
            wrong.map(str::to_owned),
        );
        Verdict::of(CHECK, table)
            .drawing(|| self.traffic.timeline().mark(up, "up").mark(end, "it answers by now"))
    }

    /// The backend comes and goes at most this many times: from its first answer on, a stretch of `absence` answers by others with
    /// none of its own is a going.
    pub fn flaps(&self, at_most: u64, absence: usize) -> Verdict {
        const CHECK: &str = "health, flapping";
        let (mut changes, mut others, mut there) = (0, 0, true);
        let first = self.traffic.answers().skip_while(|(_, answer)| answer.backend != self.backend);
        for (_, answer) in first {
            let own = answer.backend == self.backend;
            others = if own { 0 } else { others + 1 };
            if (own && !there) || (there && others >= absence) {
                there = own;
                changes += 1;
            }
        }
        let title = format!("{} comes and goes, going being {absence} answers by others", self.backend);
        let mut table = Table::new(title, ["", "seen", "allowed"]);
        let wrong = (changes > at_most).then(|| "flaps".to_owned());
        table.row(["changes".to_owned(), changes.to_string(), format!("0..={at_most}")], wrong);
        if !self.traffic.answers().any(|(_, answer)| answer.backend == self.backend) {
            table.note("it never answered: there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table).drawing(|| self.traffic.timeline())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, at, traffic};

    /// web1 is gone from 30 to 60.
    fn fallen() -> Traffic {
        traffic(
            (0..100).map(|n| answered(n, if n % 2 == 0 && !(30..60).contains(&n) { "web1" } else { "web2" })),
        )
    }

    #[test]
    fn fall_and_rise_are_bounded() {
        let fallen = fallen().before(at(60));
        assert!(fallen.health("web1").leaves(at(25), at(5)).is_ok());
        assert!(!fallen.health("web1").leaves(at(20), at(5)).is_ok());
        assert!(!fallen.health("web1").leaves(at(90), at(5)).is_ok());
        let risen = self::fallen();
        assert!(risen.health("web1").returns(at(55), at(5)).is_ok());
        assert!(risen.health("web1").returns(at(50), at(5)).to_string().contains("too late"));
        assert!(risen.health("web3").returns(at(50), at(5)).to_string().contains("never"));
    }

    #[test]
    fn flapping_is_counted() {
        assert!(fallen().health("web1").flaps(2, 5).is_ok());
        assert!(!fallen().health("web1").flaps(1, 5).is_ok());
        assert!(!fallen().health("web9").flaps(9, 5).is_ok());
    }
}
