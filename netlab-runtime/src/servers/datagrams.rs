//! Datagrams come in, and are answered.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, cmsg_space,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::connection::canonical;
use super::door::Bound;
use super::engine::{Engine, pause};
use super::mode::Mode;
use super::{Datagram, Server};

/// More than the largest datagram.
const LARGEST: usize = 1 << 16;

/// Answers datagrams at a door, for as long as the node's runtime lives.
pub(super) async fn answer<S: Server>(server: Arc<S>, engine: Arc<Engine>, door: usize) {
    let mut buffer = vec![0; LARGEST];
    loop {
        let arrived = poll_fn(|context| poll_receive(&engine, door, &mut buffer, context)).await;
        let Arrived { length, peer, to } = match arrived {
            Ok(arrived) => arrived,
            Err(error) => {
                let Engine { node, kind, doors, .. } = &*engine;
                doors[door].close();
                eprintln!("netlab: node `{node}`: the {kind} cannot receive and listens no more: {error}");
                continue;
            }
        };
        engine.counting.add(&engine.counting.datagrams_in, 1);
        let delay = match engine.mode() {
            Mode::Hung => continue,
            Mode::Slow(delay) => delay,
            Mode::Throttled(rate) => Duration::from_secs_f64(length as f64 / rate as f64),
            Mode::Well => Duration::ZERO,
        };
        let local = SocketAddr::new(to.addr(), engine.doors[door].local.port());
        let datagram = Datagram { data: &buffer[..length], peer: canonical(peer), local: canonical(local) };
        let Some(answer) = server.datagram(&datagram) else { continue };
        let send = send(Arc::clone(&engine), door, answer, peer, to);
        if delay.is_zero() {
            send.await;
        } else {
            tokio::spawn(async move {
                pause(delay).await;
                send.await;
            });
        }
    }
}

async fn send(engine: Arc<Engine>, door: usize, answer: Vec<u8>, peer: SocketAddr, from: Addressed) {
    // Counted first: who has the answer finds it counted.
    engine.counting.add(&engine.counting.datagrams_out, 1);
    let sent = poll_fn(|context| poll_send(&engine, door, &answer, peer, from, context)).await;
    if !matches!(sent, Ok(true)) {
        engine.counting.datagrams_out.fetch_sub(1, Ordering::SeqCst);
    }
    // Without an error, the server went down meanwhile.
    if let Err(error) = sent {
        let Engine { node, kind, .. } = &*engine;
        eprintln!("netlab: node `{node}`: the {kind} cannot answer {peer}: {error}");
    }
}

/// A datagram in the buffer.
struct Arrived {
    length: usize,
    peer: SocketAddr,
    to: Addressed,
}

/// Where a datagram was sent to, as the kernel tells it: what the answer is to come from (ip(7), ipv6(7)).
#[derive(Clone, Copy)]
enum Addressed {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Addressed {
    fn addr(&self) -> std::net::IpAddr {
        match self {
            Self::V4(info) => Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into(),
            Self::V6(info) => Ipv6Addr::from(info.ipi6_addr.s6_addr).into(),
        }
    }

    /// As the source of an answer: the interface is what the routes say, unless the address is one of a link.
    fn as_source(self) -> Self {
        match self {
            Self::V4(info) => {
                Self::V4(libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ..info })
            }
            Self::V6(info) if Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() => {
                Self::V6(info)
            }
            Self::V6(info) => Self::V6(libc::in6_pktinfo { ipi6_ifindex: 0, ..info }),
        }
    }
}

fn poll_receive(
    engine: &Engine,
    door: usize,
    buffer: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<io::Result<Arrived>> {
    let mut inside = engine.doors[door].lock();
    let Bound::Udp(socket) = ready!(inside.poll_socket(context)) else {
        unreachable!("datagrams are received at doors of UDP")
    };
    loop {
        ready!(socket.poll_recv_ready(context))?;
        match socket.try_io(Interest::READABLE, || receive(socket, buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Arrived> {
    let mut control = vec![0; cmsg_space::<libc::in6_pktinfo>()];
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let to = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Addressed::V4(info)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Addressed::V6(info)),
        _ => None,
    });
    let peer = message.address.as_ref().and_then(socket_addr);
    let (Some(to), Some(peer)) = (to, peer) else {
        return Err(io::Error::other("the kernel does not say where a datagram came from and went to"));
    };
    Ok(Arrived { length: message.bytes, peer, to })
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || addr.as_sockaddr_in().map(|v4: &SockaddrIn| SocketAddr::V4((*v4).into()));
    let v6 = || addr.as_sockaddr_in6().map(|v6: &SockaddrIn6| SocketAddr::V6((*v6).into()));
    v4().or_else(v6)
}

/// Sends an answer; false if there is no socket to send it from.
fn poll_send(
    engine: &Engine,
    door: usize,
    answer: &[u8],
    peer: SocketAddr,
    from: Addressed,
    context: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let inside = engine.doors[door].lock();
    let Some(Bound::Udp(socket)) = &inside.socket else { return Poll::Ready(Ok(false)) };
    loop {
        ready!(socket.poll_send_ready(context))?;
        let sent = socket.try_io(Interest::WRITABLE, || {
            let (parts, to, source) = ([IoSlice::new(answer)], SockaddrStorage::from(peer), from.as_source());
            let control = match &source {
                Addressed::V4(info) => ControlMessage::Ipv4PacketInfo(info),
                Addressed::V6(info) => ControlMessage::Ipv6PacketInfo(info),
            };
            Ok(sendmsg(socket.as_raw_fd(), &parts, &[control], MsgFlags::empty(), Some(&to))?)
        });
        match sent {
            Ok(_all) => return Poll::Ready(Ok(true)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
