//! What a server has counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What a server has done since it was started. A client may see its end of things first: [`Serving::until`](super::Serving::until) waits
/// for the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections it has accepted.
    pub accepted: u64,
    /// Of those, connections that are open.
    pub open: u64,
    /// Of those, connections that are closed, whoever closed them.
    pub closed: u64,
    /// Of the closed ones, connections that ended with an error: reset, timed out, cut off in a message.
    pub failed: u64,
    /// Requests it has received, where it knows of such.
    pub requests: u64,
    /// Bytes it has read from its connections.
    pub bytes_in: u64,
    /// Bytes it has written to its connections, as far as the kernel has taken them.
    pub bytes_out: u64,
    /// Datagrams it has received.
    pub datagrams_in: u64,
    /// Datagrams it has sent.
    pub datagrams_out: u64,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, open, closed, failed, requests, .. } = self;
        write!(
            f,
            "{accepted} accepted, {open} open, {closed} closed ({failed} with an error), {requests} requests, "
        )?;
        let Self { bytes_in, bytes_out, datagrams_in, datagrams_out, .. } = self;
        write!(
            f,
            "{bytes_in} bytes in, {bytes_out} bytes out, {datagrams_in} datagrams in, {datagrams_out} datagrams out"
        )
    }
}

/// The counters as they count.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) accepted: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) datagrams_in: AtomicU64,
    pub(super) datagrams_out: AtomicU64,
    /// Told of every change.
    pub(super) changed: Notify,
}

impl Counting {
    /// Counts `more`, gives the new sum, and wakes whoever waits for it.
    pub(super) fn add(&self, counter: &AtomicU64, more: u64) -> u64 {
        // The sums are read together by those who wait, who must not see one without those before it.
        let sum = counter.fetch_add(more, Ordering::SeqCst) + more;
        self.changed.notify_waiters();
        sum
    }

    pub(super) fn read(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        // What follows from another is read first, so that the difference is never negative.
        let failed = get(&self.failed);
        let closed = get(&self.closed);
        let accepted = get(&self.accepted);
        Counters {
            accepted,
            open: accepted - closed,
            closed,
            failed,
            requests: get(&self.requests),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            datagrams_in: get(&self.datagrams_in),
            datagrams_out: get(&self.datagrams_out),
        }
    }
}
