//! How long a connection that is silent lives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::Table;
use super::verdict::Verdict;
use crate::observation::{Miss, Observation};
use crate::traffic::Traffic;

/// Connections that were silent between their requests, to be asked with [`kept_for`](Self::kept_for) and
/// [`closed_within`](Self::closed_within).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.kept_for(..)` or `.closed_within(..)`"]
pub struct Idle<'t> {
    traffic: &'t Traffic,
}

impl Traffic {
    /// Asks about connections that were silent for a time, as of a load with [`Load::pause`](crate::Load::pause) and
    /// [`Load::keep_connections`](crate::Load::keep_connections).
    pub fn idle(&self) -> Idle<'_> {
        Idle { traffic: self }
    }
}

/// A time in which nothing was asked on a connection, from an answer on.
#[derive(Clone, Debug)]
struct Silence {
    connection: u64,
    /// Until it was closed, or the next request.
    lasted: Duration,
    end: End,
}

/// How a silence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The next request was answered.
    Answered,
    /// The other side closed the connection.
    Closed,
    /// The next request was not answered: the connection had come to its end before, and nobody had said so.
    FoundDead(Miss),
}

impl End {
    fn words(&self) -> String {
        match self {
            Self::Answered => "asked again, and answered".to_owned(),
            Self::Closed => "closed by the other side".to_owned(),
            Self::FoundDead(miss) => format!("asked again: {miss}"),
        }
    }
}

impl Idle<'_> {
    /// Every connection lives on through a silence of this time: none is closed earlier, and what is asked after is answered. At
    /// least one must have been silent for so long. Time counts from when the client has the answer, which is later than when the
    /// balancer sent it: ask for a little less than what is promised.
    ///
    /// That a flow of UDP stays with its backend through a silence is a question to
    /// [`affinity`](Traffic::affinity) by [`Key::Connection`](crate::Key::Connection).
    pub fn kept_for(&self, time: Duration) -> Verdict {
        self.judge(
            "idle, kept",
            format!("connections that are silent live for {time:.1?} at least"),
            |silence| {
                let long_enough = silence.lasted >= time;
                match &silence.end {
                    End::Answered => long_enough.then_some(None),
                    End::Closed if long_enough => Some(None),
                    End::Closed => Some(Some(format!("closed {:.1?} too early", time - silence.lasted))),
                    // When it came to its end is not known, so that it lived for so long is not proved.
                    End::FoundDead(_) => Some(Some("was not kept".to_owned())),
                }
            },
        )
    }

    /// Every connection that is silent is closed within this time, in a way that tells its client: a client that asks later and hears
    /// nothing was not told. At least one must have been silent for so long, so the load pauses longer.
    pub fn closed_within(&self, time: Duration) -> Verdict {
        self.judge(
            "idle, closed",
            format!("connections that are silent are closed within {time:.1?}"),
            |silence| match &silence.end {
                End::Answered if silence.lasted < time => None,
                End::Answered => Some(Some("still open".to_owned())),
                End::Closed if silence.lasted > time => {
                    Some(Some(format!("{:.1?} too late", silence.lasted - time)))
                }
                End::FoundDead(Miss::TimedOut) => Some(Some("hangs: the client was not told".to_owned())),
                End::Closed | End::FoundDead(_) => Some(None),
            },
        )
    }

    /// Says of each silence nothing where it has nothing to say, else what is wrong if something is.
    fn judge(
        &self,
        check: &'static str,
        title: String,
        says: impl Fn(&Silence) -> Option<Option<String>>,
    ) -> Verdict {
        /// Rows that are shown of what may be thousands.
        const SHOWN: usize = 10;
        let silences = silences(self.traffic);
        let mut table = Table::new(title, ["connection", "silent for", "then"]);
        let (mut judged, mut wrong) = (0, 0);
        for silence in &silences {
            let Some(said) = says(silence) else { continue };
            judged += 1;
            if let Some(said) = said {
                wrong += 1;
                if wrong <= SHOWN {
                    let lasted = format!("{:.1?}", silence.lasted);
                    table.row([silence.connection.to_string(), lasted, silence.end.words()], Some(said));
                }
            }
        }
        let range = |of: &End| {
            let lasted = silences.iter().filter(|silence| silence.end == *of).map(|silence| silence.lasted);
            let ends = lasted.clone().min().zip(lasted.max());
            ends.map_or(String::new(), |(least, most)| format!(" (after {least:.1?} to {most:.1?})"))
        };
        let count = |of: &End| silences.iter().filter(|silence| silence.end == *of).count();
        table.note(format!(
            "{} silences: {} ended with an answer{}, {} with a close{}; {judged} say something, {wrong} of them are wrong",
            silences.len(),
            count(&End::Answered),
            range(&End::Answered),
            count(&End::Closed),
            range(&End::Closed),
        ));
        if judged == 0 {
            table.note("no connection was silent for so long: there is nothing to judge");
            return Verdict::nothing_to_judge(check, table);
        }
        Verdict::of(check, table)
    }
}

/// The silences of a load: after each answer but the last of a connection, which nobody watched.
fn silences(traffic: &Traffic) -> Vec<Silence> {
    let mut connections: BTreeMap<u64, Vec<&Observation>> = BTreeMap::new();
    for observation in traffic.observations() {
        connections.entry(observation.connection).or_default().push(observation);
    }
    let mut silences = Vec::new();
    for (connection, requests) in connections {
        for (index, request) in requests.iter().enumerate().filter(|(_, request)| request.outcome.is_ok()) {
            let next = requests.get(index + 1);
            let (until, end) = match (request.closed, next) {
                (Some(closed), _) => (closed, End::Closed),
                (None, None) => continue,
                (None, Some(next)) => match &next.outcome {
                    Ok(_) => (next.sent, End::Answered),
                    Err(miss) => (next.sent, End::FoundDead(miss.clone())),
                },
            };
            silences.push(Silence { connection, lasted: until.saturating_sub(request.done()), end });
        }
    }
    silences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, at, missed, traffic};

    fn on(connection: u64, request: Observation) -> Observation {
        Observation { connection, ..request }
    }

    /// Connection 1 is asked at 0 and 300 ms, connection 2 at 0 and, if it is not closed, 100 ms; answers take half a millisecond.
    fn silent(first: Result<(), Miss>, second: Option<u64>) -> Traffic {
        let mut early = on(2, answered(1, "web1"));
        early.closed = second.map(at);
        let later = match first {
            Ok(()) => answered(300, "web1"),
            Err(miss) => missed(300, miss),
        };
        let requests = [on(1, answered(0, "web1")), on(1, later), early];
        traffic(requests.into_iter().chain(second.is_none().then(|| on(2, answered(100, "web1")))))
    }

    #[test]
    fn what_is_kept_is_kept_for_so_long() {
        assert!(silent(Ok(()), None).idle().kept_for(at(200)).is_ok());
        // It was closed later than it had to be kept.
        assert!(silent(Ok(()), Some(250)).idle().kept_for(at(200)).is_ok());
        insta::assert_snapshot!(silent(Err(Miss::TimedOut), Some(90)).idle().kept_for(at(200)), @r"
        idle, kept does not hold: connections that are silent live for 200.0ms at least
          connection  silent for  then
                   1     299.5ms  asked again: timed out    <- was not kept
                   2      88.5ms  closed by the other side  <- closed 111.5ms too early
          2 silences: 0 ended with an answer, 1 with a close (after 88.5ms to 88.5ms); 2 say something, 2 of them are wrong
        ");
        assert!(silent(Ok(()), None).idle().kept_for(at(400)).to_string().contains("nothing to judge"));
    }

    #[test]
    fn what_is_closed_is_closed_in_time_and_says_so() {
        // The other connection was asked before its time.
        assert!(silent(Err(Miss::Reset), None).idle().closed_within(at(200)).is_ok());
        assert!(silent(Err(Miss::Closed), Some(150)).idle().closed_within(at(200)).is_ok());
        insta::assert_snapshot!(silent(Ok(()), Some(250)).idle().closed_within(at(200)), @r"
        idle, closed does not hold: connections that are silent are closed within 200.0ms
          connection  silent for  then
                   1     299.5ms  asked again, and answered  <- still open
                   2     248.5ms  closed by the other side   <- 48.5ms too late
          2 silences: 1 ended with an answer (after 299.5ms to 299.5ms), 1 with a close (after 248.5ms to 248.5ms); 2 say something, 2 of them are wrong
        ");
        let hangs = silent(Err(Miss::TimedOut), None).idle().closed_within(at(200)).to_string();
        assert!(hangs.contains("hangs: the client was not told"), "{hangs}");
        assert!(!silent(Ok(()), None).idle().closed_within(at(400)).is_ok());
        assert!(!traffic([]).idle().closed_within(at(0)).is_ok());
    }
}
