//! The word that no more is to be sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::timeout_at;

/// A word that is said once, and heard by all who wait, or look later.
#[derive(Debug, Default)]
pub(super) struct Stop {
    said: AtomicBool,
    waiting: Notify,
}

impl Stop {
    pub(super) fn say(&self) {
        self.said.store(true, Ordering::Release);
        self.waiting.notify_waiters();
    }

    /// Whether it has been said.
    pub(super) fn is_said(&self) -> bool {
        self.said.load(Ordering::Acquire)
    }

    /// Waits until a time, or until it is said; whether it was.
    pub(super) async fn said_before(&self, time: Instant) -> bool {
        // Whoever waits is registered before the look: what is said in between is heard.
        let said = self.waiting.notified();
        self.is_said() || timeout_at(time.into(), said).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_is_heard_by_who_waits_and_by_who_comes_late() {
        let stop = Stop::default();
        let soon = || Instant::now() + Duration::from_millis(1);
        assert!(!stop.said_before(soon()).await);
        let far = Instant::now() + Duration::from_secs(3600);
        let ((), heard) = tokio::join!(async { stop.say() }, stop.said_before(far));
        assert!(heard && stop.is_said());
        assert!(stop.said_before(far).await);
    }
}
