//! Whom the backends see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::table::Table;
use super::verdict::Verdict;
use crate::traffic::Traffic;

/// Whom a mode of balancing lets the backends see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// The client's address: transparent proxies, DNAT, DSR, and PROXY protocol or `Forwarded` as the backend reads them.
    Client,
    /// The client's address and port.
    ClientAndPort,
    /// The balancer's own address: proxies, and DNAT with masquerading.
    Balancer(IpAddr),
}

/// Rows that are shown: with ports, every request may have one of its own.
const SHOWN: usize = 10;

impl Traffic {
    /// Asks whether backends saw the source that they should.
    pub fn source(&self, sees: Sees) -> Verdict {
        const CHECK: &str = "source";
        let what = match sees {
            Sees::Client => "the client's address".to_owned(),
            Sees::ClientAndPort => "the client's address and port".to_owned(),
            Sees::Balancer(addr) => format!("the balancer's address, {addr}"),
        };
        let mut table =
            Table::new(format!("backends see {what}"), ["backend", "expected", "seen", "requests"])
                .showing(SHOWN);
        let mut wrong: BTreeMap<(&str, String, String), u64> = BTreeMap::new();
        let mut judged = 0_u64;
        for (observation, answer) in self.answers() {
            judged += 1;
            let (expected, seen) = match sees {
                Sees::Client => (observation.source.ip().to_string(), answer.seen.ip().to_string()),
                Sees::ClientAndPort => (observation.source.to_string(), answer.seen.to_string()),
                Sees::Balancer(addr) => (addr.to_string(), answer.seen.ip().to_string()),
            };
            if expected != seen {
                *wrong.entry((&answer.backend, expected, seen)).or_default() += 1;
            }
        }
        let requests: u64 = wrong.values().sum();
        let whom: BTreeSet<&str> = wrong.keys().map(|(_, _, seen)| seen.as_str()).collect();
        let alone = match whom.first() {
            Some(only) if whom.len() == 1 => format!(", all as {only}'s"),
            _ => String::new(),
        };
        for ((backend, expected, seen), count) in wrong {
            table.row(
                [backend.to_owned(), expected, seen, count.to_string()],
                Some("somebody else".to_owned()),
            );
        }
        table.note(format!(
            "of {judged} requests that were answered, {requests} were seen as somebody else's{alone}"
        ));
        if judged == 0 {
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, traffic};
    use crate::observation::Observation;

    #[test]
    fn a_wrong_source_is_shown_beside_the_right_one() {
        let seen = traffic([answered(1, "web1"), answered(2, "web2")]);
        assert!(seen.source(Sees::Client).is_ok() && seen.source(Sees::ClientAndPort).is_ok());
        let verdict = seen.source(Sees::Balancer([203, 0, 113, 1].into()));
        let text = verdict.to_string();
        assert!(!verdict.is_ok() && text.contains("203.0.113.1") && text.contains("10.0.0.2"), "{text}");
        assert!(!traffic([]).source(Sees::Client).is_ok());
        let many = traffic(
            (0..30).map(|n| Observation { source: ([192, 0, 2, 1], 4000).into(), ..answered(n, "web1") }),
        );
        let text = many.source(Sees::ClientAndPort).to_string();
        assert!(text.contains("and 20 more like these") && text.contains("30 were seen"), "{text}");
    }
}
