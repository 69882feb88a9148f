//! Connections come in.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::connection::Ticket;
use super::door::Bound;
use super::engine::Engine;
use super::{Connection, Server};

/// Accepts connections at a door, for as long as the node's runtime lives.
pub(super) async fn accept<S: Server>(server: Arc<S>, engine: Arc<Engine>, door: usize) {
    loop {
        match poll_fn(|context| poll_connection(&engine, door, context)).await {
            Ok(connection) => {
                tokio::spawn(serve(Arc::clone(&server), connection));
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                let Engine { node, kind, doors, .. } = &*engine;
                doors[door].close();
                eprintln!("netlab: node `{node}`: the {kind} cannot accept and listens no more: {error}");
            }
        }
    }
}

/// Accepts who is connected already, with the door locked: the kernel resets them if it is closed before.
pub(super) fn accept_all<S: Server>(server: &Arc<S>, engine: &Arc<Engine>, listener: &TcpListener) {
    let _context = engine.runtime.enter();
    loop {
        let admitted = SockRef::from(listener).accept().and_then(|(socket, peer)| {
            socket.set_nonblocking(true)?;
            let peer = peer.as_socket().ok_or(io::ErrorKind::NotConnected)?;
            Connection::admit(engine, TcpStream::from_std(socket.into())?, peer)
        });
        match admitted {
            Ok(connection) => drop(engine.runtime.spawn(serve(Arc::clone(server), connection))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                let Engine { node, kind, .. } = &**engine;
                eprintln!(
                    "netlab: node `{node}`: the {kind} cannot accept who waits when it listens no more: {error}"
                );
                break;
            }
        }
    }
}

/// The client has given it up since (accept(2)).
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::NotConnected)
}

fn poll_connection(
    engine: &Arc<Engine>,
    door: usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<Connection>> {
    let mut inside = engine.doors[door].lock();
    let Bound::Tcp(listener) = ready!(inside.poll_socket(context)) else {
        unreachable!("connections are accepted at doors of TCP")
    };
    let (stream, peer) = ready!(listener.poll_accept(context))?;
    Poll::Ready(Connection::admit(engine, stream, peer))
}

async fn serve<S: Server>(server: Arc<S>, connection: Connection) {
    let mut end = Unfinished { ticket: connection.ticket(), finished: false };
    end.finished = server.connection(connection).await.is_ok();
}

/// A connection that has failed, also by its server's panic, unless it is said to be finished.
struct Unfinished {
    ticket: Arc<Ticket>,
    finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            self.ticket.failed();
        }
    }
}
