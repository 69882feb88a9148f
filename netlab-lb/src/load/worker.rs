//! One of those that send a load: it asks, waits for the answer, and writes down what it saw.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use netlab_runtime::settings::scaled;

use super::conversation::{Conversation, Over, in_time};
use super::spec::{Connections, Load};
use super::stop::Stop;
use crate::observation::{Bytes, Miss, Observation};

/// What the workers of a load share.
#[derive(Debug)]
pub(super) struct Shared {
    pub load: Load,
    pub over: Over,
    pub vips: Vec<SocketAddr>,
    /// The beginning of the test's clock.
    pub began: Instant,
    /// The beginning of this load.
    pub started: Instant,
    pub connections: Arc<AtomicU64>,
    /// The request that is next, where any worker may take it.
    pub next: AtomicU64,
    pub stop: Stop,
    /// What came of requests, as far as they are done.
    pub seen: Mutex<Vec<Observation>>,
    pub workers: u64,
}

/// A worker, in its client's namespace.
pub(super) struct Worker {
    shared: Arc<Shared>,
    number: u64,
    /// Its client's name.
    client: String,
    sources: Vec<SocketAddr>,
    asked: u64,
    open: Option<(u64, Conversation)>,
    cookie: Option<String>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, number: u64, client: String, sources: Vec<SocketAddr>) -> Self {
        Self { shared, number, client, sources, asked: 0, open: None, cookie: None }
    }

    /// Sends its part, and writes down what comes of it.
    pub(super) async fn run(mut self) {
        while let Some(request) = self.take() {
            let stopped = match self.shared.load.due(request) {
                Some(due) => self.shared.stop.said_before(self.shared.started + due).await,
                None => self.shared.stop.is_said(),
            };
            if stopped {
                break;
            }
            self.pause().await;
            self.request(request).await;
        }
    }

    /// The next request that is this worker's. With connections that are kept each has its own, so that all of them are used to the end.
    fn take(&mut self) -> Option<u64> {
        let request = match self.shared.load.connections {
            Connections::Fresh => self.shared.next.fetch_add(1, Ordering::Relaxed),
            Connections::Kept(_) => self.number + self.asked * self.shared.workers,
        };
        self.asked += 1;
        (request < self.shared.load.total()).then_some(request)
    }

    async fn request(&mut self, request: u64) {
        let limit = scaled(self.shared.load.timeout);
        let sent = self.shared.began.elapsed();
        let source = self.source();
        let wanted = self.wanted();
        let before = self.open.as_ref().map_or((0, 0), |(_, conversation)| conversation.carried());
        let outcome = in_time(limit, async {
            if self.open.is_none() {
                let number = self.shared.connections.fetch_add(1, Ordering::Relaxed);
                let conversation =
                    Conversation::open(self.shared.over, self.vip(request, source)?, source).await?;
                self.open = Some((number, conversation));
            }
            let Some((_, conversation)) = &mut self.open else { return Err(Miss::Closed) };
            conversation.ask(wanted, self.shared.load.cookies.then_some(&mut self.cookie)).await
        })
        .await;
        let took = self.shared.began.elapsed().saturating_sub(sent);
        let (connection, source, (asked, arrived)) = match &self.open {
            Some((number, conversation)) => (*number, conversation.source(), conversation.carried()),
            // It was never opened.
            None => (
                self.shared.connections.fetch_add(1, Ordering::Relaxed),
                source.unwrap_or_else(|| ([0; 4], 0).into()),
                before,
            ),
        };
        let is_over = |(_, conversation): &mut (u64, Conversation)| {
            self.shared.load.connections == Connections::Fresh
                || (outcome.is_err() && conversation.ends_with_a_miss())
        };
        drop(self.open.take_if(is_over));
        self.seen().push(Observation {
            client: self.client.clone(),
            source,
            sent,
            took,
            connection,
            bytes: Bytes { asked: asked - before.0, wanted, arrived: arrived - before.1 },
            closed: None,
            outcome,
        });
    }

    /// Is silent on a connection that is kept, and watches whether it stays.
    async fn pause(&mut self) {
        let pause = self.shared.load.pause;
        let (Some((number, conversation)), false) = (&mut self.open, pause.is_zero()) else { return };
        let (number, end) = (*number, tokio::time::Instant::now() + pause);
        if tokio::time::timeout_at(end, conversation.closed()).await.is_ok() {
            let closed = self.shared.began.elapsed();
            if let Some(last) = self.seen().iter_mut().rfind(|seen| seen.connection == number) {
                last.closed = Some(closed);
            }
            self.open = None;
            tokio::time::sleep_until(end).await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Observation>> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How large the answer is to be.
    fn wanted(&self) -> u64 {
        let is_first = self.open.as_ref().is_none_or(|(_, conversation)| conversation.asked() == 0);
        let is_short = is_first && self.shared.load.connections != Connections::Fresh;
        if is_short { 0 } else { self.shared.load.answers }
    }

    /// Where the next connection comes from, if that is not left to the kernel.
    fn source(&self) -> Option<SocketAddr> {
        let turn = match self.shared.load.connections {
            Connections::Fresh => (self.asked - 1) as usize,
            Connections::Kept(_) => 0,
        };
        self.sources.get(turn % self.sources.len().max(1)).copied()
    }

    /// Where the request goes to: the addresses in turn, of those that the source can reach.
    fn vip(&self, request: u64, source: Option<SocketAddr>) -> Result<SocketAddr, Miss> {
        let fits = |vip: &&SocketAddr| source.is_none_or(|source| source.is_ipv4() == vip.is_ipv4());
        let vips: Vec<&SocketAddr> = self.shared.vips.iter().filter(fits).collect();
        vips.get(request as usize % vips.len().max(1)).map(|vip| **vip).ok_or(Miss::Unreachable)
    }
}
