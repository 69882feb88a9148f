//! Whether flows outlive the backend that they went to.
//!
//! A balancer that remembers flows, as connection tracking does, may go on sending one to a backend that it has been told to
//! remove, for as long as datagrams keep the memory fresh: kube-proxy did so with UDP
//! (<https://github.com/kubernetes/kubernetes/issues/59368>).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::table::Table;
use super::verdict::Verdict;
use crate::observation::{Miss, Observation};
use crate::traffic::Traffic;

/// The removal of one backend at a time of the load, to be asked with [`forgotten_within`](Self::forgotten_within).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.forgotten_within(..)`"]
pub struct Removal<'t> {
    traffic: &'t Traffic,
    backend: String,
    removed: Duration,
}

impl Traffic {
    /// Asks about a backend that was removed at this time of the load. A flow is an address and port of the client's, so the load
    /// should have sources with ports ([`Load::from`](crate::Load::from)) or keep its connections
    /// ([`Load::keep_connections`](crate::Load::keep_connections)).
    pub fn removal(&self, backend: impl Into<String>, removed: Duration) -> Removal<'_> {
        Removal { traffic: self, backend: backend.into(), removed }
    }
}

/// What became of a flow that the backend had, as far as it was used when the balancer should have forgotten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// Another backend answers it.
    Moved,
    /// Its end was told (reset, closed, refused), and it was not used again.
    Cut,
    /// The backend still answers it.
    Stale,
    /// Nothing comes back.
    BlackHoled,
    /// It fails at once, every time.
    Stuck,
}

impl Fate {
    const ALL: [Self; 5] = [Self::Moved, Self::Cut, Self::Stale, Self::BlackHoled, Self::Stuck];

    fn of(later: &[&Observation], backend: &str) -> Option<Self> {
        let last = later.last()?;
        Some(if later.iter().any(|request| request.backend() == Some(backend)) {
            Self::Stale
        } else if later.iter().any(|request| request.outcome == Err(Miss::TimedOut)) {
            Self::BlackHoled
        } else if last.outcome.is_ok() {
            Self::Moved
        } else if later.len() == 1 {
            Self::Cut
        } else {
            Self::Stuck
        })
    }

    fn words(self, backend: &str) -> String {
        match self {
            Self::Moved => "answered by another backend".to_owned(),
            Self::Cut => "cut, and not used again".to_owned(),
            Self::Stale => format!("still answered by {backend}"),
            Self::BlackHoled => "without any answer, in a black hole".to_owned(),
            Self::Stuck => "failing every time, never moved".to_owned(),
        }
    }

    fn is_wrong(self) -> bool {
        !matches!(self, Self::Moved | Self::Cut)
    }
}

impl Removal<'_> {
    /// Later than `grace` after its removal the backend answers nothing, and every flow that it had is answered by another, or
    /// was cut in a way that tells its client: reset, closed, refused. A flow whose requests time out is in a black hole: still sent
    /// to who does not answer any more. At least one flow of the backend's must have been used after that.
    pub fn forgotten_within(&self, grace: Duration) -> Verdict {
        const CHECK: &str = "stale flows";
        let Self { traffic, backend, removed } = self;
        let end = removed.saturating_add(grace);
        let mut flows: BTreeMap<SocketAddr, Vec<&Observation>> = BTreeMap::new();
        for observation in traffic.observations() {
            flows.entry(observation.source).or_default().push(observation);
        }
        let mut fates: BTreeMap<Fate, Vec<String>> = BTreeMap::new();
        let mut strangers: Vec<String> = Vec::new();
        let (mut had, mut used) = (0_u64, 0_u64);
        for (flow, requests) in &flows {
            let (earlier, later): (Vec<&Observation>, Vec<&Observation>) =
                requests.iter().partition(|request| request.sent <= end);
            let its_own = earlier
                .iter()
                .rev()
                // What was under way may have come to another already.
                .filter(|request| request.done() < *removed)
                .find_map(|request| request.backend());
            if its_own == Some(backend) {
                had += 1;
                let Some(fate) = Fate::of(&later, backend) else { continue };
                used += 1;
                let last = later.last().map_or(Duration::ZERO, |request| request.sent);
                fates
                    .entry(fate)
                    .or_default()
                    .push(format!("{flow}, {} requests, the last at {last:.1?}", later.len()));
            } else if let Some(late) = later.iter().find(|request| request.backend() == Some(backend)) {
                strangers.push(format!("{flow}, at {:.1?}", late.sent));
            }
        }

        let title = format!(
            "of {had} flows that {backend} had when it was removed at {removed:.1?}, {used} were used after {end:.1?}"
        );
        let mut table = Table::new(title, ["", "flows", "allowed"]);
        let mut row = |what: String, examples: &[String], is_wrong: bool| {
            let wrong = examples.first().filter(|_| is_wrong).map(|example| format!("for example {example}"));
            let allowed = if is_wrong { "0..=0" } else { "any" };
            table.row([what, examples.len().to_string(), allowed.to_owned()], wrong);
        };
        for fate in Fate::ALL {
            row(fate.words(backend), fates.get(&fate).map_or(&[], Vec::as_slice), fate.is_wrong());
        }
        row(format!("not of {backend} before, and answered by it"), &strangers, true);
        if used == 0 && strangers.is_empty() {
            table.note("no flow of its was used after that: there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, at, missed, traffic};

    /// Four flows that ask every 10 ms until 100 ms, of which the first two are web1's until it is removed at 50 ms.
    fn removed(after: impl Fn(u64, u64) -> Result<&'static str, Miss>) -> Traffic {
        traffic((0..40).map(|number| {
            let (flow, turn) = (number % 4, number / 4);
            let backend = if flow < 2 { Ok("web1") } else { Ok("web2") };
            let request = match if turn < 5 { backend } else { after(flow, turn) } {
                Ok(backend) => answered(turn * 10 + flow, backend),
                Err(miss) => missed(turn * 10 + flow, miss),
            };
            Observation { source: ([10, 0, 0, 1], 4000 + flow as u16).into(), ..request }
        }))
    }

    fn verdict(after: impl Fn(u64, u64) -> Result<&'static str, Miss>) -> Verdict {
        removed(after).removal("web1", at(48)).forgotten_within(at(10))
    }

    #[test]
    fn flows_that_move_or_are_told_their_end_are_right() {
        assert!(verdict(|_, _| Ok("web2")).is_ok());
        // Within the grace, all may be.
        assert!(verdict(|_, turn| if turn == 5 { Err(Miss::TimedOut) } else { Ok("web2") }).is_ok());
        assert!(verdict(|_, turn| if turn == 6 { Err(Miss::Reset) } else { Ok("web2") }).is_ok());
        assert!(
            verdict(|flow, turn| if flow == 0 && turn < 9 { Ok("web1") } else { Ok("web2") })
                .to_string()
                .contains("1  0..=0")
        );
    }

    #[test]
    fn the_ways_to_be_stale_are_told_apart() {
        let verdict = verdict(|flow, _| match flow {
            0 => Ok("web1"),
            1 => Err(Miss::TimedOut),
            _ => Ok("web2"),
        });
        insta::assert_snapshot!(verdict, @r"
        stale flows does not hold: of 2 flows that web1 had when it was removed at 48.0ms, 2 were used after 58.0ms
                                                  flows  allowed
          answered by another backend                 0  any
          cut, and not used again                     0  any
          still answered by web1                      1  0..=0    <- for example 10.0.0.1:4000, 4 requests, the last at 90.0ms
          without any answer, in a black hole         1  0..=0    <- for example 10.0.0.1:4001, 4 requests, the last at 91.0ms
          failing every time, never moved             0  0..=0
          not of web1 before, and answered by it      0  0..=0
        ");
        let text =
            self::verdict(|flow, _| if flow < 2 { Err(Miss::Refused) } else { Ok("web2") }).to_string();
        assert!(text.contains("failing every time, never moved             2"), "{text}");
        let text = self::verdict(|flow, _| if flow == 3 { Ok("web1") } else { Ok("web2") }).to_string();
        assert!(text.contains("<- for example 10.0.0.1:4003"), "{text}");
    }

    #[test]
    fn a_flow_is_whose_it_was_although_a_request_of_it_was_under_way() {
        let late = |request: &Observation| {
            // Those of the fifth turn are answered only after the removal.
            let under_way = (40..48).contains(&request.sent.as_millis());
            Observation { took: if under_way { at(10) } else { request.took }, ..request.clone() }
        };
        let moved: Traffic = removed(|_, _| Ok("web2"))
            .observations()
            .iter()
            .map(late)
            .map(|request| if request.took == at(10) { moved_to("web2", request) } else { request })
            .collect();
        let verdict = moved.removal("web1", at(48)).forgotten_within(at(10));
        assert!(verdict.is_ok() && verdict.to_string().contains("of 2 flows that web1 had"), "{verdict}");
    }

    fn moved_to(backend: &str, request: Observation) -> Observation {
        Observation { outcome: answered(0, backend).outcome, ..request }
    }

    #[test]
    fn without_a_flow_that_goes_on_nothing_is_proved() {
        let verdict = removed(|_, _| Ok("web2")).removal("web3", at(48)).forgotten_within(at(10));
        assert!(!verdict.is_ok() && verdict.to_string().contains("nothing to judge"), "{verdict}");
        assert!(!removed(|_, _| Ok("web2")).removal("web1", at(48)).forgotten_within(at(500)).is_ok());
    }
}
