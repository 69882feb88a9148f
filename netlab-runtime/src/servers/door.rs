//! One socket of a server: open or closed, and closed at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;

use super::bind;
use crate::kernel::inspect::Protocol;
use crate::lab::Entry;
use crate::sys::namespace;

/// A socket, with what it takes to make it again.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) protocol: Protocol,
    on: Option<IpAddr>,
    /// Where it is bound; a port that the kernel chose stays the same.
    pub(super) local: SocketAddr,
    inside: Mutex<Inside>,
}

/// What a door's lock guards.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) socket: Option<Bound>,
    /// The task behind the door, which waits for the socket's return, or in a socket that is gone since.
    task: Option<Waker>,
}

/// A socket in the node's runtime.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Door {
    /// Opens a door for the first time.
    pub(super) fn new(
        way: &Entry,
        runtime: &Handle,
        protocol: Protocol,
        on: Option<IpAddr>,
        port: u16,
    ) -> io::Result<Self> {
        let (socket, local) = make(way, runtime, protocol, on, port)?;
        Ok(Self { protocol, on, local, inside: Mutex::new(Inside { socket: Some(socket), task: None }) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inside> {
        // A panic in between leaves a socket or none, both of which are states of a door.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it again, if it is closed.
    pub(super) fn open(&self, way: &Entry, runtime: &Handle) -> io::Result<()> {
        let mut inside = self.lock();
        if inside.socket.is_none() {
            let (socket, _same) = make(way, runtime, self.protocol, self.on, self.local.port())?;
            inside.socket = Some(socket);
            if let Some(task) = inside.task.take() {
                task.wake();
            }
        }
        Ok(())
    }

    /// Closes it. The kernel resets connections that were not accepted yet, and answers the next SYN with RST, the next datagram with
    /// *port unreachable*.
    pub(super) fn close(&self) {
        self.lock().socket = None;
    }

    /// Closes it once `last` is done with the connections that wait at it.
    pub(super) fn close_after(&self, last: impl FnOnce(&TcpListener)) {
        let mut inside = self.lock();
        if let Some(Bound::Tcp(listener)) = &inside.socket {
            last(listener);
        }
        inside.socket = None;
    }
}

impl Inside {
    /// The socket, for the task behind the door; if there is none, the task is woken when there is.
    pub(super) fn poll_socket(&mut self, context: &Context<'_>) -> Poll<&mut Bound> {
        self.task = Some(context.waker().clone());
        match &mut self.socket {
            Some(socket) => Poll::Ready(socket),
            None => Poll::Pending,
        }
    }
}

fn make(
    way: &Entry,
    runtime: &Handle,
    protocol: Protocol,
    on: Option<IpAddr>,
    port: u16,
) -> io::Result<(Bound, SocketAddr)> {
    let socket = namespace::on_thread("bind", || {
        way.enter()?;
        bind::bind(protocol, on, port)
    })
    .flatten()?;
    let _context = runtime.enter();
    Ok(match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::from_std(socket.into())?;
            let local = listener.local_addr()?;
            (Bound::Tcp(listener), local)
        }
        Protocol::Udp => {
            let socket = UdpSocket::from_std(socket.into())?;
            let local = socket.local_addr()?;
            (Bound::Udp(socket), local)
        }
    })
}
