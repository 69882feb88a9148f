//! A balancer under test, with its clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use netlab_runtime::error::Error;
use netlab_runtime::lab::Node;
use netlab_runtime::wait::eventually;
use tokio::task::JoinHandle;

use super::conversation::Over;
use super::spec::{Connections, Load};
use super::stop::Stop;
use super::worker::{Shared, Worker};
use crate::traffic::Traffic;

/// A balancer under test: its clients, the addresses it is reached at, and what is spoken. Of the balancer itself nothing is known.
///
/// All its loads have one clock, which begins when it is made: times of one may be compared with those of another, and with
/// [`now`](Self::now).
#[derive(Clone, Debug)]
pub struct LbTest {
    clients: Vec<Node>,
    vips: Vec<SocketAddr>,
    over: Over,
    began: Instant,
    /// Connections of all loads are told apart by their numbers.
    connections: Arc<AtomicU64>,
}

/// Why a load could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A source address is no client's.
    #[error("`{addr}` is no address of a client; clients here: {clients}")]
    UnknownSource {
        /// The address.
        addr: IpAddr,
        /// The clients with their addresses.
        clients: String,
    },
    /// None of the addresses to send to has the family of a source.
    #[error("a client at `{addr}` cannot reach the balancer, which has no address of that family")]
    NoFamily {
        /// The source address.
        addr: IpAddr,
    },
    /// Fewer sources with ports than connections that are to be kept.
    #[error(
        "{connections} connections cannot be kept from {sources} ports: each has one for itself; port 0 is any"
    )]
    TooFewSources {
        /// The connections.
        connections: usize,
        /// The sources.
        sources: usize,
    },
    /// What was waited for did not come.
    #[error("the load {what} before it came to what was waited for:\n{so_far}")]
    NotSeen {
        /// What happened instead.
        what: String,
        /// What it had come to.
        so_far: String,
    },
    /// A worker panicked.
    #[error("a worker of the load panicked")]
    Worker,
}

impl LbTest {
    /// Clients send to these addresses of the balancer, in turn: one address, or one of each family. Speaks [`Over::Tcp`] unless
    /// told.
    ///
    /// # Panics
    ///
    /// There is no client, or no address.
    #[track_caller]
    pub fn new<'a>(
        clients: impl IntoIterator<Item = &'a Node>,
        vips: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let clients: Vec<Node> = clients.into_iter().cloned().collect();
        let vips: Vec<SocketAddr> = vips.into_iter().collect();
        assert!(!clients.is_empty(), "a balancer is tested by at least one client");
        assert!(!vips.is_empty(), "the balancer's address is missing");
        Self { clients, vips, over: Over::Tcp, began: Instant::now(), connections: Arc::default() }
    }

    /// What is spoken.
    #[must_use]
    pub fn over(self, over: Over) -> Self {
        Self { over, ..self }
    }

    /// The time on the clock of its loads.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sends a load, and waits until all of it is answered or has failed.
    ///
    /// # Errors
    ///
    /// The load cannot be sent from where it is to be. A request that fails is no error, but an observation.
    pub async fn send(&self, load: Load) -> Result<Traffic, LoadError> {
        self.start(load)?.finish().await
    }

    /// Starts a load, to go on with the test meanwhile.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn start(&self, load: Load) -> Result<Underway, LoadError> {
        let senders = self.senders(&load)?;
        let total = load.total();
        let workers = match load.connections {
            Connections::Fresh => load.concurrency,
            Connections::Kept(number) => number,
        };
        let workers = workers.min(usize::try_from(total).unwrap_or(usize::MAX));
        let posts = posts(&senders, workers);
        if let (Connections::Kept(connections), true) = (load.connections, posts.len() < workers) {
            return Err(LoadError::TooFewSources { connections, sources: posts.len() });
        }
        let shared = Arc::new(Shared {
            load,
            over: self.over,
            vips: self.vips.clone(),
            began: self.began,
            started: Instant::now(),
            connections: Arc::clone(&self.connections),
            next: AtomicU64::new(0),
            stop: Stop::default(),
            seen: Mutex::default(),
            workers: posts.len() as u64,
        });
        let handles = posts.into_iter().zip(0..).map(|((client, sources), number)| {
            let name = client.name().to_owned();
            client.spawn(Worker::new(Arc::clone(&shared), number, name, sources).run())
        });
        Ok(Underway { handles: handles.collect(), shared })
    }

    /// Who sends from where: the clients that have the sources, or all of them from any.
    fn senders(&self, load: &Load) -> Result<Vec<Sender<'_>>, LoadError> {
        if load.sources.is_empty() {
            return Ok(self.clients.iter().map(|client| Sender { client, sources: None }).collect());
        }
        let mut senders: Vec<Sender<'_>> = Vec::new();
        for &source in &load.sources {
            if !self.vips.iter().any(|vip| vip.is_ipv4() == source.is_ipv4()) {
                return Err(LoadError::NoFamily { addr: source.ip() });
            }
            let client = self.clients.iter().find(|client| client.addrs().contains(&source.ip()));
            let client = client.ok_or_else(|| LoadError::UnknownSource {
                addr: source.ip(),
                clients: self.clients.iter().map(describe).collect::<Vec<_>>().join(", "),
            })?;
            match senders.iter_mut().find(|sender| sender.client == client) {
                Some(Sender { sources: Some(sources), .. }) => sources.push(source),
                _ => senders.push(Sender { client, sources: Some(vec![source]) }),
            }
        }
        Ok(senders)
    }
}

struct Sender<'t> {
    client: &'t Node,
    sources: Option<Vec<SocketAddr>>,
}

/// Shares out the sources among this many workers, or fewer: one source with a port is one worker's alone, or it would be taken.
fn posts<'t>(senders: &[Sender<'t>], workers: usize) -> Vec<(&'t Node, Vec<SocketAddr>)> {
    let mut posts = Vec::new();
    for number in 0..workers {
        let (turn, which) = (number / senders.len(), number % senders.len());
        let Sender { client, sources } = &senders[which];
        let Some(all) = sources else {
            posts.push((*client, Vec::new()));
            continue;
        };
        let workers_here = (workers - which).div_ceil(senders.len());
        let mut own: Vec<SocketAddr> = all.iter().copied().skip(turn).step_by(workers_here).collect();
        if own.is_empty() {
            let shared: Vec<SocketAddr> = all.iter().copied().filter(|source| source.port() == 0).collect();
            own.extend(shared.get(turn % shared.len().max(1)));
        }
        if !own.is_empty() {
            posts.push((*client, own));
        }
    }
    posts
}

fn describe(client: &Node) -> String {
    let addrs: Vec<String> = client.addrs().iter().map(ToString::to_string).collect();
    format!("{} ({})", client.name(), addrs.join(", "))
}

/// A load that is being sent.
#[derive(Debug)]
#[must_use = "a load that nobody finishes is not judged"]
pub struct Underway {
    handles: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Underway {
    /// How long one may wait for what it comes to.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What has come of it so far, without the requests that are not yet answered.
    pub fn so_far(&self) -> Traffic {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Waits until what has come of it so far is this.
    ///
    /// # Errors
    ///
    /// The load has ended, or 30 seconds (times `NETLAB_TIMEOUT_SCALE`) are over, without that.
    pub async fn until(&self, what: impl Fn(&Traffic) -> bool) -> Result<(), LoadError> {
        let looked = eventually(Self::PATIENCE, async || {
            // Whether it had ended is asked first: what comes in between counts.
            let ended = self.handles.iter().all(JoinHandle::is_finished);
            let so_far = self.so_far();
            match (what(&so_far), ended) {
                (true, _) => Ok(Ok(())),
                (false, true) => Ok(Err(so_far)),
                (false, false) => Err(Error::msg("not yet")),
            }
        });
        let (what, so_far) = match looked.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(so_far)) => ("ended".to_owned(), so_far),
            Err(late) => (format!("went on for {:?}", late.limit()), self.so_far()),
        };
        Err(LoadError::NotSeen { what, so_far: so_far.timeline().to_string() })
    }

    /// Waits until all of it is answered or has failed.
    ///
    /// # Errors
    ///
    /// A worker panicked.
    pub async fn finish(self) -> Result<Traffic, LoadError> {
        for handle in self.handles {
            handle.await.map_err(|_panic| LoadError::Worker)?;
        }
        let seen = std::mem::take(&mut *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(seen.into_iter().collect())
    }

    /// Sends no more, and waits for what is under way.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub async fn stop(self) -> Result<Traffic, LoadError> {
        self.shared.stop.say();
        self.finish().await
    }
}
