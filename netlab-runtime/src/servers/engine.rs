//! What a running server is: its doors, its open connections, its behaviour.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::counters::Counting;
use super::door::Door;
use super::mode::{Ending, Mode};
use super::stream::Stream;
use crate::lab::Entry;
use crate::log::{Topic, tell};

/// A running server, as its tasks and its handles share it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) node: String,
    pub(super) kind: String,
    pub(super) way: Entry,
    pub(super) runtime: Handle,
    pub(super) doors: Vec<Door>,
    pub(super) counting: Counting,
    control: Mutex<Control>,
    streams: Mutex<Streams>,
    /// For whoever only asks.
    mode: Mutex<Mode>,
}

/// Held while a control acts, so that controls act one after the other.
#[derive(Debug, Default)]
struct Control {
    /// What alternates between up and down. One that was replaced does nothing more, even if it is just about to.
    flapping: Option<AbortHandle>,
    flaps: u64,
}

#[derive(Debug, Default)]
struct Streams {
    next: u64,
    open: HashMap<u64, Arc<Stream>>,
}

/// A panic in between leaves nothing half done: every change is one insertion, removal or assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(super) fn new(node: String, kind: String, way: Entry, runtime: Handle, doors: Vec<Door>) -> Self {
        Self {
            node,
            kind,
            way,
            runtime,
            doors,
            counting: Counting::default(),
            control: Mutex::default(),
            streams: Mutex::default(),
            mode: Mutex::new(Mode::Well),
        }
    }

    pub(super) fn mode(&self) -> Mode {
        *lock(&self.mode)
    }

    /// Takes a connection that was just accepted into the books. To be called with the door locked that it came through: a
    /// control that closes the door then finds it here.
    pub(super) fn admit(&self, stream: TcpStream) -> (u64, Arc<Stream>) {
        let stream = Arc::new(Stream::new(stream));
        let mut streams = lock(&self.streams);
        let id = streams.next;
        streams.next += 1;
        streams.open.insert(id, Arc::clone(&stream));
        self.counting.add(&self.counting.accepted, 1);
        (id, stream)
    }

    /// Strikes a connection off.
    pub(super) fn dismiss(&self, id: u64) {
        lock(&self.streams).open.remove(&id);
    }

    /// Serves those who are connected in this way from now on.
    pub(super) fn serve_in(&self, mode: Mode) {
        self.tell(format_args!("{mode}"));
        *lock(&self.mode) = mode;
        self.open_streams().iter().for_each(|stream| stream.wake());
    }

    /// Listens no more, and ends what is open.
    pub(super) fn close(&self, ending: Ending) {
        let mut control = lock(&self.control);
        control.stop_flapping();
        self.shut(ending);
    }

    /// Listens no more. Those who are connected are accepted before.
    pub(super) fn refuse(&self, accept: impl Fn(&TcpListener)) {
        let mut control = lock(&self.control);
        control.stop_flapping();
        self.doors.iter().for_each(|door| door.close_after(&accept));
        self.tell(format_args!("listens no more"));
    }

    /// Tells of what it does.
    pub(super) fn tell(&self, what: fmt::Arguments<'_>) {
        let Self { node, kind, .. } = self;
        tell(Topic::Servers, format_args!("node `{node}`: the {kind} {what}"));
    }

    /// Listens again.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut control = lock(&self.control);
        control.stop_flapping();
        self.unlock()
    }

    /// Goes down and comes up in turn, beginning with down.
    pub(super) fn flap(self: &Arc<Self>, up: Duration, down: Duration) {
        let mut control = lock(&self.control);
        control.stop_flapping();
        self.shut(Ending::Rst);
        let (engine, flap) = (Arc::clone(self), control.flaps);
        let task = self.runtime.spawn(async move {
            loop {
                pause(down).await;
                if !engine.turn(flap, || engine.unlock()) {
                    break;
                }
                pause(up).await;
                let down_again = || {
                    engine.shut(Ending::Rst);
                    Ok(())
                };
                if !engine.turn(flap, down_again) {
                    break;
                }
            }
        });
        control.flapping = Some(task.abort_handle());
    }

    /// The next turn of a flap; false if it was replaced, or cannot go on.
    fn turn(&self, flap: u64, turn: impl FnOnce() -> io::Result<()>) -> bool {
        let control = lock(&self.control);
        if control.flaps != flap {
            return false;
        }
        turn()
            .inspect_err(|error| {
                let Self { node, kind, .. } = self;
                eprintln!(
                    "netlab: node `{node}`: the flapping {kind} cannot listen again and stays down: {error}"
                );
            })
            .is_ok()
    }

    /// With the control locked.
    fn shut(&self, ending: Ending) {
        self.doors.iter().for_each(Door::close);
        match ending {
            Ending::Fin => self.tell(format_args!("listens no more, and ends what is open (FIN)")),
            Ending::Rst => self.tell(format_args!("listens no more, and resets what is open (RST)")),
        }
        self.open_streams().iter().for_each(|stream| stream.end(ending));
    }

    /// With the control locked. Opens all doors or none.
    fn unlock(&self) -> io::Result<()> {
        let opened = self.doors.iter().try_for_each(|door| door.open(&self.way, &self.runtime));
        opened.inspect(|()| self.tell_where()).inspect_err(|_error| self.doors.iter().for_each(Door::close))
    }

    /// Tells where it listens.
    pub(super) fn tell_where(&self) {
        for Door { local, protocol, .. } in &self.doors {
            self.tell(format_args!("listens on {local}/{protocol}"));
        }
    }

    fn open_streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.streams).open.values().cloned().collect()
    }
}

impl Control {
    fn stop_flapping(&mut self) {
        self.flaps += 1;
        if let Some(task) = self.flapping.take() {
            task.abort();
        }
    }
}

/// Lets time pass that is part of a server's behaviour: nothing is waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "the time is the behaviour that was asked for, not a wait for something"
)]
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
