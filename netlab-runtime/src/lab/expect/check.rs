//! Probes all rows, again and again until they hold together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::expected::{Expected, Said};
use super::probe;
use super::rows::{Row, rows};
use super::seen::{Miss, MissKind, Seen};
use super::service::Kind;
use super::stand::Stands;
use super::unmet::Unmet;
use crate::kernel::inspect::Protocol;
use crate::lab::Lab;
use crate::settings::scaled;
use crate::sys::namespace;
use crate::wait::Backoff;

/// How long one try may go unanswered: first as long as TCP waits before it asks again (RFC 6298), then as long as the kernel takes
/// to find that nobody has an address (three requests a second apart).
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(3_200)];

/// What is not to be reached gets at least this time, and so many times what the slowest of what is reached took.
const SILENCE: Duration = Duration::from_millis(300);
const SILENCE_FACTOR: u32 = 20;

pub(super) async fn check(lab: &Lab, said: &[Said], deadline: Duration) -> Result<(), Unmet> {
    let started = Instant::now();
    let rows: Arc<[Row]> = rows(said).into();
    let stands = Arc::new(Stands::of(&rows).await);
    let mut round = Round { lab: lab.clone(), seen: vec![None; rows.len()], rows, stands };
    // What cannot be probed does not come to hold either.
    let hopeless = round.rows.iter().any(|row| row.at.is_err());
    let mut backoff = Backoff::new(if hopeless { Duration::ZERO } else { scaled(deadline) });
    loop {
        let first_try = round.wait_for_all_that_holds(backoff.left()).await;
        round.probe_what_must_not(&backoff).await;
        // Those that held only after a while are looked at once more, so that all hold together.
        if round.holds(|row| !counts(row)) && first_try {
            break;
        }
        if !backoff.again().await {
            break;
        }
    }
    round.count().await;
    let Round { rows, seen, stands, .. } = round;
    if let Some(stands) = Arc::into_inner(stands) {
        stands.end().await;
    }
    let not_probed = |row: &Row| match &row.at {
        Ok(_) => Miss::broken("the rest has to hold before"),
        Err(problem) => Miss::broken(problem),
    };
    let seen = rows.iter().zip(seen).map(|(row, seen)| seen.unwrap_or_else(|| not_probed(row).into()));
    let seen: Vec<Seen> = seen.collect();
    let all_hold = rows.iter().zip(&seen).all(|(row, seen)| row.expected.holds(seen));
    if all_hold && !rows.is_empty() {
        return Ok(());
    }
    Err(Unmet::new(lab.name(), &rows, &seen, started.elapsed()))
}

/// As [`check`], on a thread with a runtime of its own.
pub(super) fn check_blocking(lab: &Lab, said: &[Said], deadline: Duration) -> Result<(), Unmet> {
    let started = Instant::now();
    let outcome = namespace::on_thread("expect", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(check(lab, said, deadline)))
    });
    outcome.flatten().unwrap_or_else(|error: std::io::Error| {
        let rows = rows(said);
        let seen: Vec<Seen> = rows.iter().map(|_row| Miss::broken(&error).into()).collect();
        Err(Unmet::new(lab.name(), &rows, &seen, started.elapsed()))
    })
}

struct Round {
    lab: Lab,
    rows: Arc<[Row]>,
    stands: Arc<Stands>,
    /// What was seen of each row last.
    seen: Vec<Option<Seen>>,
}

/// Whether a row counts something, which is done once at the end.
fn counts(row: &Row) -> bool {
    matches!(row.expected, Expected::Loss { .. })
}

impl Round {
    fn holds(&self, of: impl Fn(&Row) -> bool) -> bool {
        let mut rows = self.rows.iter().zip(&self.seen).filter(|(row, _)| of(row));
        rows.all(|(row, seen)| seen.as_ref().is_some_and(|seen| row.expected.holds(seen)))
    }

    /// Probes all that is to be reached at once, each until it holds or the time is over. Says whether each held at
    /// the first try.
    async fn wait_for_all_that_holds(&mut self, left: Duration) -> bool {
        let mut tasks = JoinSet::new();
        for (index, row) in self.rows.iter().enumerate() {
            if row.expected != Expected::NotReached && !counts(row) {
                let (lab, row, stands) = (self.lab.clone(), row.clone(), Arc::clone(&self.stands));
                tasks.spawn(async move { (index, until_it_holds(&lab, &row, &stands, left).await) });
            }
        }
        let mut first_try = true;
        for (index, (seen, tries)) in tasks.join_all().await {
            self.seen[index] = Some(seen);
            first_try &= tries == 1;
        }
        first_try
    }

    /// Probes all that is not to be reached at once, each once. Without what is to be reached they prove nothing, and are
    /// only looked at when there is no time left to wait for that.
    async fn probe_what_must_not(&mut self, backoff: &Backoff) {
        let others = self.holds(|row| row.expected != Expected::NotReached && !counts(row));
        if !others && !backoff.left().is_zero() {
            return;
        }
        let silence = (backoff.elapsed() * SILENCE_FACTOR).clamp(scaled(SILENCE), scaled(PATIENCE[0]));
        let mut tasks = JoinSet::new();
        for (index, row) in self.rows.iter().enumerate() {
            if row.expected == Expected::NotReached {
                let (lab, row, stands) = (self.lab.clone(), row.clone(), Arc::clone(&self.stands));
                tasks.spawn(async move { (index, once(&lab, &row, &stands, silence).await) });
            }
        }
        for (index, seen) in tasks.join_all().await {
            self.seen[index] = Some(seen);
        }
    }

    /// Counts what is to be counted, one after the other, so that they do not disturb each other.
    async fn count(&mut self) {
        if self.holds(|row| !counts(row)) {
            for (index, row) in self.rows.iter().enumerate().filter(|(_, row)| counts(row)) {
                let seen = once(&self.lab, row, &self.stands, scaled(PATIENCE[0])).await;
                self.seen[index] = Some(seen);
            }
        }
    }
}

/// Probes a row until it holds, and says how often it was tried. What it said last stands, even when it fell silent since.
async fn until_it_holds(lab: &Lab, row: &Row, stands: &Stands, left: Duration) -> (Seen, u32) {
    let mut backoff = Backoff::new(left);
    let mut told: Option<Miss> = None;
    loop {
        let patience = scaled(PATIENCE[usize::from(backoff.looks() > 1)]);
        // There is time for an answer that is under way even when it is late.
        let seen = once(lab, row, stands, patience.min(backoff.left().max(scaled(SILENCE)))).await;
        if row.expected.holds(&seen) || row.at.is_err() {
            return (seen, backoff.looks());
        }
        let seen = match (seen, &told) {
            // ICMP tells the same only so often (`icmp_ratelimit`): silence after its word takes nothing back.
            (Seen::Missed { miss, .. }, Some(told)) if miss.is_silence() && told.said_by.is_some() => {
                told.clone().into()
            }
            (Seen::Missed { miss, .. }, _) if miss.is_silence() => {
                Seen::Missed { miss, before: told.clone() }
            }
            (Seen::Missed { miss, .. }, _) => {
                told = Some(miss.clone());
                miss.into()
            }
            (other, _) => other,
        };
        if !backoff.again().await {
            return (seen, backoff.looks());
        }
    }
}

/// Probes a row once.
async fn once(lab: &Lab, row: &Row, stands: &Stands, patience: Duration) -> Seen {
    let at = match &row.at {
        Ok(at) => *at,
        Err(problem) => return Miss::broken(problem).into(),
    };
    let stand = match row.to.kind {
        Kind::Icmp => None,
        Kind::Port(protocol, _) => match stands.at(row) {
            Ok(stand) => Some((protocol, stand)),
            Err(problem) => return Miss::broken(problem).into(),
        },
    };
    let probing = async {
        match (&row.expected, stand) {
            (Expected::Loss { probes, .. }, _) => {
                probe::loss(lab, &row.from, at.ip(), *probes, patience).await
            }
            (Expected::Mtu(expected), _) => {
                probe::mtu(lab, &row.from, at.ip(), *expected, scaled(SILENCE)).await
            }
            (_, None) => probe::echo(lab, &row.from, at.ip()).await,
            (_, Some((Protocol::Tcp, stand))) => probe::tcp(lab, &row.from, at, &stand).await,
            (_, Some((Protocol::Udp, stand))) => probe::udp(lab, &row.from, at, &stand).await,
        }
    };
    // How long a count takes is its own affair.
    let limit = match row.expected {
        Expected::Loss { probes, .. } => patience + scaled(Duration::from_millis(10)) * probes,
        Expected::Mtu(_) => patience.max(scaled(PATIENCE[1])),
        _ => patience,
    };
    let seen = timeout(limit, probing).await;
    explain_source(row, seen.unwrap_or_else(|_elapsed| Miss::new(MissKind::TimedOut).into()))
}

/// Somebody else's listener does not say whom it sees.
fn explain_source(row: &Row, seen: Seen) -> Seen {
    match (&row.expected, &seen) {
        (Expected::Source(_), Seen::Reached { source: None }) => Miss::broken(
            "something else listens there, and its table of sockets does not show whom it sees: no program but the check's own listener says that",
        )
        .into(),
        _ => seen,
    }
}
