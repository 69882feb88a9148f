//! How much is sent, and how.

use std::net::SocketAddr;
use std::time::Duration;

/// A load, bounded in number and in time.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a load does nothing until it is sent"]
pub struct Load {
    pub(super) amount: Amount,
    pub(super) connections: Connections,
    pub(super) concurrency: usize,
    pub(super) timeout: Duration,
    pub(super) sources: Vec<SocketAddr>,
    pub(super) cookies: bool,
    pub(super) answers: u64,
    pub(super) pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Amount {
    Requests(u64),
    Rate { per_second: f64, during: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connections {
    /// One for each request.
    Fresh,
    /// So many, each for as many requests as come to it.
    Kept(usize),
}

impl Load {
    /// Requests that are under way at once, unless told.
    const CONCURRENCY: usize = 8;
    /// How long one may take, unless told.
    const TIMEOUT: Duration = Duration::from_secs(5);
    /// The most that may be asked for: a test is no benchmark.
    pub const MOST: u64 = 1_000_000;

    fn of(amount: Amount) -> Self {
        Self {
            amount,
            connections: Connections::Fresh,
            concurrency: Self::CONCURRENCY,
            timeout: Self::TIMEOUT,
            sources: Vec::new(),
            cookies: false,
            answers: 0,
            pause: Duration::ZERO,
        }
    }

    /// So many requests, as fast as they are answered.
    ///
    /// # Panics
    ///
    /// More than [`MOST`](Self::MOST).
    #[track_caller]
    pub fn requests(number: u64) -> Self {
        assert!(number <= Self::MOST, "{number} requests: a load has {} at most", Self::MOST);
        Self::of(Amount::Requests(number))
    }

    /// So many requests a second for a time, at even distances, whether or not earlier ones are answered. As many may be under
    /// way at once as [`concurrency`](Self::concurrency) says; those that find no room are sent late, not left out.
    ///
    /// # Panics
    ///
    /// The rate is no positive number, or more than [`MOST`](Self::MOST) requests come of it.
    #[track_caller]
    pub fn rate(per_second: f64, during: Duration) -> Self {
        assert!(per_second > 0.0 && per_second.is_finite(), "{per_second} requests a second is no rate");
        let number = per_second * during.as_secs_f64();
        assert!(number <= Self::MOST as f64, "{number:.0} requests: a load has {} at most", Self::MOST);
        // What a second or so of silence leaves under way.
        let concurrency = (per_second as usize * 2).clamp(Self::CONCURRENCY, 256);
        Self { concurrency, ..Self::of(Amount::Rate { per_second, during }) }
    }

    /// So many requests are under way at once, 8 unless set.
    ///
    /// # Panics
    ///
    /// None at all.
    #[track_caller]
    pub fn concurrency(self, number: usize) -> Self {
        assert!(number > 0, "a load with nothing under way");
        Self { concurrency: number, ..self }
    }

    /// So many connections are opened at the beginning and kept, and share the requests. Without it each request has its own.
    /// One that breaks is opened anew for the request after.
    ///
    /// # Panics
    ///
    /// None at all.
    #[track_caller]
    pub fn keep_connections(self, number: usize) -> Self {
        assert!(number > 0, "a load without connections");
        Self { connections: Connections::Kept(number), ..self }
    }

    /// How long a request may take, its connection included, 5 seconds unless set; `NETLAB_TIMEOUT_SCALE` multiplies it.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Requests are sent from these addresses, one after the other; port 0 is any. Each must be a client's. A port that is given
    /// is used by one request at a time, so no more of them are under way at once than there are such ports.
    ///
    /// A [connection that is kept](Self::keep_connections) has one of the addresses, and has it again when it is opened anew; over
    /// UDP it is one flow from one port, whatever becomes of its datagrams.
    ///
    /// A TCP connection from a port that is given is reset at its end, since the port could not be used again for a while after an
    /// orderly one (TIME-WAIT, RFC 9293 section 3.6.1).
    pub fn from(self, sources: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { sources: sources.into_iter().collect(), ..self }
    }

    /// Asks for answers of at least so many bytes, to see whether and which way large ones come. Of a
    /// [connection that is kept](Self::keep_connections) the first answer is short all the same: then it is known which backend has
    /// the connection, whatever becomes of the large ones.
    ///
    /// The backends must be [`who`](crate::who()) or `servers::identity`.
    ///
    /// # Panics
    ///
    /// More than [`LARGEST_ANSWER`](Self::LARGEST_ANSWER).
    #[track_caller]
    pub fn answers_of(self, bytes: u64) -> Self {
        assert!(
            bytes <= Self::LARGEST_ANSWER,
            "{bytes} bytes: an answer has {} at most",
            Self::LARGEST_ANSWER
        );
        Self { answers: bytes, ..self }
    }

    /// The largest answer that may be asked for, in bytes. A datagram has 65,507 at most (RFC 768, RFC 791), and then comes in
    /// fragments.
    pub const LARGEST_ANSWER: u64 = 1 << 24;

    /// Is silent for so long after each answer, on each of the connections that are kept, before it asks again. What
    /// happens to the connection meanwhile is written down ([`Observation::closed`](crate::Observation::closed)).
    pub fn pause(self, silence: Duration) -> Self {
        Self { pause: silence, ..self }
    }

    /// Sends back the cookies that answers set, each of the requests under way at once being a browser of its own. For HTTP.
    pub fn with_cookies(self) -> Self {
        Self { cookies: true, ..self }
    }

    /// How many requests it has in all.
    pub fn total(&self) -> u64 {
        match self.amount {
            Amount::Requests(number) => number,
            Amount::Rate { per_second, during } => (per_second * during.as_secs_f64()).round() as u64,
        }
    }

    /// When a request is due, from the beginning.
    pub(super) fn due(&self, number: u64) -> Option<Duration> {
        match self.amount {
            Amount::Requests(_) => None,
            Amount::Rate { per_second, .. } => Some(Duration::from_secs_f64(number as f64 / per_second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_so_many_requests_at_even_distances() {
        let load = Load::rate(200.0, Duration::from_millis(500));
        assert_eq!((load.total(), load.due(100)), (100, Some(Duration::from_millis(500))));
        assert_eq!(Load::requests(7).due(3), None);
    }

    #[test]
    #[should_panic(expected = "at most")]
    fn a_load_is_bounded() {
        drop(Load::rate(1e9, Duration::from_secs(60)));
    }
}
