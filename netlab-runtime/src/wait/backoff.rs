//! When to look again.

use std::time::{Duration, Instant};

/// The first pause. What is about to hold mostly does so within a few of these.
const FIRST: Duration = Duration::from_millis(1);
/// The longest pause: what is waited for is noticed this late at most.
const LONGEST: Duration = Duration::from_millis(50);

/// Pauses between looks at something, each twice as long as the one before, up to a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    started: Instant,
    limit: Duration,
    pause: Duration,
    looks: u32,
}

impl Backoff {
    /// Looks until `limit` has gone by, which is already as long as it is on this machine.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { started: Instant::now(), limit, pause: FIRST, looks: 1 }
    }

    /// How often it was looked so far, the look under way included.
    pub(crate) fn looks(&self) -> u32 {
        self.looks
    }

    /// How long it is looked.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    /// Whether there is time for another look, after a pause. The last look is at the deadline itself.
    pub(crate) async fn again(&mut self) -> bool {
        let Some(pause) = self.next() else { return false };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that looks again and again")]
        tokio::time::sleep(pause).await;
        true
    }

    /// As [`again`](Self::again), blocking the calling thread.
    pub(crate) fn again_blocking(&mut self) -> bool {
        let Some(pause) = self.next() else { return false };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that looks again and again")]
        std::thread::sleep(pause);
        true
    }

    fn next(&mut self) -> Option<Duration> {
        let left = self.left();
        if left.is_zero() {
            return None;
        }
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST);
        self.looks += 1;
        Some(pause)
    }
}
