//! Whether backends reach the balancer's address themselves, and through it each other and themselves.

use std::collections::BTreeMap;

use super::table::Table;
use super::verdict::Verdict;
use crate::observation::Observation;
use crate::traffic::Traffic;

/// Backends as clients, to be asked with [`by_chance`](Self::by_chance) or [`each`](Self::each).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.each()` or `.by_chance(..)`"]
pub struct Hairpin<'t> {
    traffic: &'t Traffic,
    backends: Vec<String>,
}

impl Traffic {
    /// Asks whether backends that are clients are answered by every backend, themselves included: of a load whose clients are the
    /// backends, as of `LbTest::new(&web, [vip])`.
    pub fn hairpin<N: Into<String>>(&self, backends: impl IntoIterator<Item = N>) -> Hairpin<'_> {
        Hairpin { traffic: self, backends: backends.into_iter().map(Into::into).collect() }
    }
}

impl Hairpin<'_> {
    const CHECK: &'static str = "hairpin";

    /// Every backend as a client has an answer of every backend, and none of its requests fails. For balancers whose choice is
    /// no chance: each client must have sent as many requests as there are backends.
    pub fn each(&self) -> Verdict {
        self.judge(self.backends.len())
    }

    /// As [`each`](Self::each), for a balancer that chooses by chance: each client must have sent so many requests that a right
    /// balancer leaves out none of the pairs but with the probability `false_alarm`.
    ///
    /// # Panics
    ///
    /// `false_alarm` is no probability between 0 and 1.
    #[track_caller]
    pub fn by_chance(&self, false_alarm: f64) -> Verdict {
        assert!(
            false_alarm > 0.0 && false_alarm < 1.0,
            "`false_alarm` is {false_alarm}, and must be between 0 and 1, as 1e-6 is"
        );
        // Of all pairs any is left out by at most: pairs * (1 - 1/backends)^requests (Boole's inequality).
        let backends = self.backends.len() as f64;
        let requests = (false_alarm / (backends * backends)).ln() / (1.0 - 1.0 / backends).ln();
        self.judge(if backends > 1.0 { requests.ceil() as usize } else { 1 })
    }

    fn judge(&self, enough: usize) -> Verdict {
        let Self { traffic, backends } = self;
        let title = format!("each of {} backends, as a client, is answered by each", backends.len());
        let mut table = Table::new(title, ["client"]);
        table.columns(backends.iter().map(|backend| format!("by {backend}")));
        table.columns(["no answer".to_owned()]);
        let mut clients: BTreeMap<&str, Vec<&Observation>> = BTreeMap::new();
        for observation in traffic.observations() {
            clients.entry(&observation.client).or_default().push(observation);
        }
        let mut too_few = Vec::new();
        for client in backends {
            let requests = clients.get(client.as_str()).map_or(&[][..], Vec::as_slice);
            let by =
                |backend: &str| requests.iter().filter(|request| request.backend() == Some(backend)).count();
            let lost: Traffic =
                requests.iter().filter(|request| request.outcome.is_err()).copied().cloned().collect();
            let without = lost.observations().len();
            let never: Vec<&str> = backends
                .iter()
                .filter(|backend| by(backend) == 0)
                .map(|backend| if backend == client { "itself" } else { backend.as_str() })
                .collect();
            let mut wrong = Vec::new();
            if !never.is_empty() {
                wrong.push(format!("never by {}", never.join(", ")));
            }
            if without > 0 {
                wrong.push(lost.misses_in_words());
            }
            if requests.len() < enough {
                too_few.push(format!("{client} ({})", requests.len()));
            }
            let cells = [client.clone()]
                .into_iter()
                .chain(backends.iter().map(|backend| by(backend).to_string()))
                .chain([without.to_string()]);
            table.row(cells, (!wrong.is_empty()).then(|| wrong.join("; ")));
        }
        if !too_few.is_empty() || backends.is_empty() {
            table.note(format!(
                "too few requests, {enough} would do: {}: there is nothing to judge",
                too_few.join(", ")
            ));
            return Verdict::nothing_to_judge(Self::CHECK, table);
        }
        Verdict::of(Self::CHECK, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, missed, traffic};
    use crate::observation::Miss;

    const BACKENDS: [&str; 3] = ["web1", "web2", "web3"];

    /// Thirty requests of each backend, by turns.
    fn load(outcome: impl Fn(&str, &str) -> Result<(), Miss>) -> Traffic {
        traffic((0..90).map(|number| {
            let (client, backend) = (BACKENDS[number as usize / 30], BACKENDS[number as usize % 3]);
            let request = match outcome(client, backend) {
                Ok(()) => answered(number, backend),
                Err(miss) => missed(number, miss),
            };
            Observation { client: client.to_owned(), ..request }
        }))
    }

    #[test]
    fn who_is_not_answered_by_whom_is_shown() {
        assert!(load(|_, _| Ok(())).hairpin(BACKENDS).each().is_ok());
        let verdict = load(|client, backend| if client == backend { Err(Miss::TimedOut) } else { Ok(()) })
            .hairpin(BACKENDS)
            .each();
        insta::assert_snapshot!(verdict, @r"
        hairpin does not hold: each of 3 backends, as a client, is answered by each
          client  by web1  by web2  by web3  no answer
          web1          0       10       10         10  <- never by itself; 10 timed out
          web2         10        0       10         10  <- never by itself; 10 timed out
          web3         10       10        0         10  <- never by itself; 10 timed out
        ");
    }

    #[test]
    fn too_few_requests_prove_nothing() {
        let load = load(|_, _| Ok(()));
        // (2/3)^30 for each of nine pairs is about 5e-5 in all.
        assert!(load.hairpin(BACKENDS).by_chance(1e-4).is_ok());
        assert!(load.hairpin(BACKENDS).by_chance(1e-5).to_string().contains("web1 (30)"));
        let verdict = load.hairpin(["web1", "web4"]).each().to_string();
        assert!(verdict.contains("web4 (0)") && verdict.contains("never by web4"), "{verdict}");
        assert!(!load.hairpin([""; 0]).each().is_ok());
    }
}
