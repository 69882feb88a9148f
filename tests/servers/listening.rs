//! Where servers listen, and why they cannot.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netlab::prelude::*;
use netlab::servers::{Connection, Datagram, Listen, Server};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{PATIENCE, both, say};

#[netlab::test(topology = "
    net lan 10.0.0.0/24 fd00::/64
    node client lan=.2
    node web lan=.3,.4
")]
async fn on_all_addresses_or_on_one(client: Node, web: Node) -> netlab::Result {
    let all = web.serve(servers::echo(7)).await?;
    let one = web.serve(servers::echo(8).on("10.0.0.4")).await?;
    let chosen = web.serve(servers::echo(0)).await?;
    assert_eq!((all.port(), one.port()), (7, 8));
    assert_ne!(chosen.port(), 0);
    for (addr, port, listens) in [
        ("10.0.0.3", 7, true),
        ("10.0.0.4", 7, true),
        ("10.0.0.3", 8, false),
        ("10.0.0.4", 8, true),
        ("10.0.0.3", chosen.port(), true),
    ] {
        let connected = client.tcp_connect((addr, port)).await;
        assert_eq!(connected.is_ok(), listens, "{addr}:{port}: {connected:?}");
    }
    // The chosen port is kept.
    let port = chosen.port();
    chosen.kill();
    chosen.resume()?;
    say(&mut client.tcp_connect((&web, port)).await?, b"same").await?;
    Ok(())
}

/// An answer comes from the address that was asked, also from one on `lo`, as a balancer's virtual address is.
#[netlab::test(topology = "
    net lan 10.0.0.0/24 fd00::/64
    node client lan route(203.0.113.9/32 via=web) route(fd09::9/128 via=web)
    node web lan addr=203.0.113.9/32 addr=fd09::9/128
")]
async fn a_datagram_is_answered_from_the_address_it_was_sent_to(client: Node, web: Node) -> netlab::Result {
    web.serve(servers::udp_echo(7)).await?;
    let others = ["203.0.113.9:7".parse()?, "[fd09::9]:7".parse()?];
    for addr in both(&web, 7).into_iter().chain(others) {
        let addr: SocketAddr = addr;
        let socket = client.udp_socket(if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
        socket.send_to(b"who?", addr).await?;
        let (_, from) = timeout(PATIENCE, socket.recv_from(&mut [0; 9])).await??;
        assert_eq!(from, addr);
    }
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node web lan=.3; node other lan")]
async fn a_taken_port_is_an_error_that_says_who_has_it(web: Node, other: Node) -> netlab::Result {
    let first = web.serve(servers::echo(80)).await?;
    let error = web.serve(servers::sink(80)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `web`: the sink cannot listen on port 80/tcp, where the echo server of this test on [::]:80 listens already"
    );
    assert_eq!(error.io_error().map(io::Error::kind), Some(io::ErrorKind::AddrInUse));
    // Elsewhere, and by another protocol, it is free.
    other.serve(servers::sink(80)).await?;
    web.serve(servers::udp_echo(80)).await?;
    let error = web.serve(servers::udp_echo(80)).await.unwrap_err().to_string();
    assert!(error.contains("80/udp, where the UDP echo server of this test"), "{error}");

    // While it is closed, another may have the port; then it cannot come back.
    first.refuse();
    let listener = web.tcp_listener("10.0.0.3:80").await?;
    let error = first.resume().unwrap_err().to_string();
    assert_eq!(
        error,
        "node `web`: the echo server cannot listen again, where this test itself on 10.0.0.3:80 listens already"
    );
    drop(listener);
    first.resume()?;

    let error = web.serve(servers::echo(81).on("10.0.0.9")).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "node `web`: the echo server cannot listen on 10.0.0.9:81/tcp, which is none of its addresses (10.0.0.3)"
    );
    Ok(())
}

/// The time of day, by TCP and UDP.
struct TeaTime;

impl Server for TeaTime {
    fn kind(&self) -> &str {
        "time server"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![Listen::tcp(13), Listen::udp(13)]
    }

    async fn connection(self: Arc<Self>, mut connection: Connection) -> io::Result<()> {
        connection.meter().request();
        let text = format!("tea on {} for {}", connection.node(), connection.peer().ip());
        connection.write_all(text.as_bytes()).await
    }

    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        (datagram.data == b"time?").then(|| format!("tea at {}", datagram.local).into_bytes())
    }
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan=.2; node web lan=.3")]
async fn a_server_of_ones_own(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(TeaTime).await?;
    let mut text = String::new();
    let mut stream = client.tcp_connect("10.0.0.3:13").await?;
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await?;
    assert_eq!(text, "tea on web for 10.0.0.2");
    let socket = client.udp_socket("0.0.0.0:0").await?;
    let mut answer = [0; 64];
    socket.send_to(b"what?", "10.0.0.3:13").await?;
    socket.send_to(b"time?", "10.0.0.3:13").await?;
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut answer)).await??;
    assert_eq!(&answer[..length], b"tea at 10.0.0.3:13");
    let seen = server.until(|seen| seen.closed == 1 && seen.datagrams_out == 1).await?;
    assert_eq!((seen.requests, seen.datagrams_in), (1, 2));
    // Both go down together.
    server.kill();
    assert!(client.tcp_connect("10.0.0.3:13").await.is_err());
    socket.connect("10.0.0.3:13").await?;
    socket.send(b"time?").await?;
    assert_eq!(
        timeout(PATIENCE, socket.recv(&mut answer)).await?.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    Ok(())
}

/// A server goes on when nobody holds its handle, and holds the lab by nothing: the lab ends with its last handle.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn a_server_lives_as_long_as_the_lab(client: Node, web: Node) -> netlab::Result {
    drop(web.serve(servers::echo(7)).await?);
    say(&mut client.tcp_connect((&web, 7)).await?, b"here").await?;

    let inner = Lab::build(Topology::parse("net l 10.9.0.0/24; node a l; node b l", "inner")?.plan()?)?;
    let (a, b) = (inner.node("a")?, inner.node("b")?);
    let server = b.serve(servers::echo(7)).await?;
    let mut open = a.tcp_connect((&b, 7)).await?;
    say(&mut open, b"here").await?;
    drop((inner, a, b, server));
    // The stream is a socket of `a`, and goes on; its other end went with the server's thread.
    let end = timeout(PATIENCE, tokio::io::AsyncReadExt::read(&mut open, &mut [0; 1])).await?;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    Ok(())
}

/// With IPv6 switched off in the node, a server listens all the same.
#[netlab::test(topology = "
    net lan 10.0.0.0/24
    node client lan
    node web lan sysctl(net.ipv6.conf.all.disable_ipv6=1) sysctl(net.ipv6.bindv6only=1)
")]
async fn without_ipv6(client: Node, web: Node) -> netlab::Result {
    web.serve(servers::echo(7)).await?;
    let mut stream = client.tcp_connect((&web, 7)).await?;
    say(&mut stream, b"four").await?;
    assert!(matches!(stream.peer_addr()?.ip(), IpAddr::V4(_)));
    Ok(())
}
