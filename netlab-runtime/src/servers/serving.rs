//! A running server as a test holds it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::door::Door;
use super::engine::Engine;
use super::mode::{Ending, Mode};
use super::{Counters, Listen, Server, accept, datagrams, occupied};
use crate::kernel::inspect::Protocol;
use crate::lab::{self, LabError, Node};
use crate::settings;

/// How long [`Serving::until`] waits unless told.
const PATIENCE: Duration = Duration::from_secs(10);

impl Node {
    /// Starts a server on the node, on the node's own thread; it listens once this returns.
    ///
    /// # Errors
    ///
    /// It cannot listen where it is to; if somebody else does, the error says who.
    ///
    /// # Teardown
    ///
    /// It goes on when its handle is dropped, and ends with the lab.
    pub async fn serve<S: Server>(&self, server: S) -> Result<Serving<S>, LabError> {
        let error =
            |what: &dyn fmt::Display, error| LabError::io(format!("node `{}`: {what}", self.name()), error);
        let runtime = self.runtime().map_err(|source| error(&"its thread cannot be started", source))?;
        server.prepare(self)?;
        let (kind, way) = (server.kind().to_owned(), self.network());
        let mut doors = Vec::new();
        for listen in server.listen() {
            let Listen { protocol, port, ref on } = listen;
            let opened = match on {
                None => Ok(None),
                Some(on) => lab::resolve(self, on.clone()).await.map(|addrs| addrs.first().copied()),
            };
            // Two doors of one server, as DNS has them, have one port.
            let port =
                if port == 0 { doors.first().map_or(0, |door: &Door| door.local.port()) } else { port };
            let opened = opened.and_then(|on| Door::new(&way, &runtime, protocol, on, port));
            doors.push(opened.map_err(|source| {
                let why = occupied::explain(self, &listen, &source);
                error(&format_args!("the {kind} cannot listen on {listen}{why}"), source)
            })?);
        }
        let engine = Arc::new(Engine::new(self.name().to_owned(), kind, way, runtime, doors));
        occupied::remember(&engine);
        engine.tell_where();
        let server = Arc::new(server);
        for (index, door) in engine.doors.iter().enumerate() {
            let (server, shared) = (Arc::clone(&server), Arc::clone(&engine));
            match door.protocol {
                Protocol::Tcp => engine.runtime.spawn(accept::accept(server, shared, index)),
                Protocol::Udp => engine.runtime.spawn(datagrams::answer(server, shared, index)),
            };
        }
        Ok(Serving { node: self.clone(), server, engine })
    }
}

/// A running server, and what controls it. It dereferences to the server, whose settings may be changed while it runs.
///
/// A control has taken effect when its method returns. What is open is served in one way at a time, of which the last one said counts:
/// [`hang`](Self::hang), [`slow`](Self::slow) or [`throttle`](Self::throttle). Whether it listens is another matter:
/// [`refuse`](Self::refuse), [`stop`](Self::stop), [`kill`](Self::kill) and [`flap`](Self::flap). [`resume`](Self::resume) ends all of these.
///
/// A clone is another handle to the same server.
///
/// # Teardown
///
/// Dropping it changes nothing: the server ends with the lab.
pub struct Serving<S> {
    node: Node,
    server: Arc<S>,
    engine: Arc<Engine>,
}

impl<S> Serving<S> {
    /// The node that it runs on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The port that it listens on; that of its first socket, if it has several.
    pub fn port(&self) -> u16 {
        self.engine.doors.first().map_or(0, |door| door.local.port())
    }

    /// Whether it listens now.
    pub fn is_listening(&self) -> bool {
        self.engine.doors.iter().all(|door| door.lock().socket.is_some())
    }

    /// What it has counted since it was started.
    pub fn counters(&self) -> Counters {
        self.engine.counting.read()
    }

    /// Waits until its counters are as they are wanted: `server.until(|seen| seen.open == 0).await?`.
    ///
    /// # Errors
    ///
    /// When awaited: they were not within 10 seconds, or what [`Until::within`] says; says how they are.
    pub fn until(&self, wanted: impl Fn(&Counters) -> bool + Send + Sync + 'static) -> Until {
        Until { engine: Arc::clone(&self.engine), wanted: Box::new(wanted), within: PATIENCE }
    }

    /// Serves as it should: it listens, it answers at once.
    ///
    /// # Errors
    ///
    /// It did not listen, and cannot now, since somebody else listens there: says who.
    pub fn resume(&self) -> Result<(), LabError> {
        self.engine.serve_in(Mode::Well);
        self.engine.open().map_err(|error| {
            let why = self.engine.doors.iter().map(|door| {
                let listen = Listen { protocol: door.protocol, on: None, port: door.local.port() };
                occupied::explain(&self.node, &listen, &error)
            });
            let why: String = why.collect();
            let Engine { node, kind, .. } = &*self.engine;
            LabError::io(format!("node `{node}`: the {kind} cannot listen again{why}"), error)
        })
    }

    /// Accepts connections and reads nothing, as a program that hangs: whoever is connected waits, until
    /// [`resume`](Self::resume) has all that was asked answered. Datagrams are received and forgotten.
    ///
    /// By hand: `kill -STOP PID`.
    pub fn hang(&self) {
        self.engine.serve_in(Mode::Hung);
    }

    /// Takes this long for each answer: it lets the time pass before it writes for the first time after it has read, or has accepted a
    /// connection.
    pub fn slow(&self, delay: Duration) {
        self.engine.serve_in(Mode::Slow(delay));
    }

    /// Reads and writes no more than so many bytes a second on each connection, in each direction; at least one.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.engine.serve_in(Mode::Throttled(bytes_per_second.max(1)));
    }

    /// Listens no more: who connects is refused (RST, *port unreachable* for a datagram). What is open goes on, also what was not accepted
    /// yet, so this is also how a server is drained.
    pub fn refuse(&self)
    where
        S: Server,
    {
        self.engine.refuse(|listener| accept::accept_all(&self.server, &self.engine, listener));
    }

    /// Listens no more, and closes what is open (FIN), as a program that ends. What is half said stays so.
    ///
    /// By hand: `kill -TERM PID`.
    pub fn stop(&self) {
        self.engine.close(Ending::Fin);
    }

    /// Listens no more, and resets what is open (RST), as a program that crashes with work undone.
    ///
    /// By hand: `kill -KILL PID`, or `ss -K`.
    pub fn kill(&self) {
        self.engine.close(Ending::Rst);
    }

    /// Goes down, as by [`kill`](Self::kill), and comes up again, over and over, until another control says otherwise. It is down when this
    /// returns.
    ///
    /// Should it be unable to come up, since somebody else listens there by then, it says so on the test's output and stays down.
    pub fn flap(&self, up: Duration, down: Duration) {
        self.engine.flap(up, down);
    }
}

impl<S> Clone for Serving<S> {
    fn clone(&self) -> Self {
        let Self { node, server, engine } = self;
        Self { node: node.clone(), server: Arc::clone(server), engine: Arc::clone(engine) }
    }
}

impl<S> Deref for Serving<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.server
    }
}

impl<S> fmt::Debug for Serving<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Engine { node, kind, .. } = &*self.engine;
        write!(f, "Serving({kind} on {node}, port {})", self.port())
    }
}

/// A wait for a server's counters: [`Serving::until`].
#[must_use = "nothing is waited for until it is awaited"]
pub struct Until {
    engine: Arc<Engine>,
    wanted: Box<dyn Fn(&Counters) -> bool + Send + Sync>,
    within: Duration,
}

impl Until {
    /// How long to wait at most; `NETLAB_TIMEOUT_SCALE` multiplies it.
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    async fn run(self) -> Result<Counters, LabError> {
        let Self { engine, wanted, within } = self;
        let holds = async {
            loop {
                // From here on, no change is missed.
                let changed = engine.counting.changed.notified();
                let counters = engine.counting.read();
                if wanted(&counters) {
                    return counters;
                }
                changed.await;
            }
        };
        let within = settings::scaled(within);
        tokio::time::timeout(within, holds).await.map_err(|_late| {
            let (Engine { node, kind, .. }, counters) = (&*engine, engine.counting.read());
            let what = format!("node `{node}`: the {kind} does not count what it should: {counters}");
            LabError::io(what, io::Error::new(io::ErrorKind::TimedOut, format!("not within {within:?}")))
        })
    }
}

impl IntoFuture for Until {
    type Output = Result<Counters, LabError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until").field("within", &self.within).finish_non_exhaustive()
    }
}
