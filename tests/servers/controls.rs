//! Every control, as the other side of a real socket sees it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{PATIENCE, SILENCE, both, hear, say};

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn stop_ends_what_is_open_with_fin_and_refuses_what_comes(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    for addr in both(&web, 7) {
        let mut open = client.tcp_connect(addr).await?;
        assert_eq!(&say(&mut open, b"ping").await?, b"ping");
        server.stop();
        assert!(!server.is_listening());
        assert_eq!(client.tcp_connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(timeout(PATIENCE, open.read(&mut [0; 1])).await??, 0, "the end is orderly");
        server.until(|seen| seen.open == 0).await?;
        server.resume()?;
        assert_eq!(&say(&mut client.tcp_connect(addr).await?, b"back").await?, b"back");
    }
    let seen = server.until(|seen| seen.open == 0).await?;
    assert_eq!((seen.accepted, seen.closed, seen.failed), (4, 4, 0), "{seen}");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn kill_resets_what_is_open_and_refuses_what_comes(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    for addr in both(&web, 7) {
        let mut open = client.tcp_connect(addr).await?;
        assert_eq!(&say(&mut open, b"ping").await?, b"ping");
        server.kill();
        assert_eq!(client.tcp_connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let end = timeout(PATIENCE, open.read(&mut [0; 1])).await?;
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        server.resume()?;
        assert_eq!(&say(&mut client.tcp_connect(addr).await?, b"back").await?, b"back");
    }
    let seen = server.until(|seen| seen.open == 0).await?;
    assert_eq!((seen.accepted, seen.closed, seen.failed), (4, 4, 2), "{seen}");
    Ok(())
}

/// Connections that wait to be accepted go down with the others: the kernel resets them.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn kill_resets_what_was_never_served(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    let busy = Busy::keep(&web).await?;
    let mut open = client.tcp_connect((&web, 7)).await?;
    server.kill();
    assert_eq!(
        timeout(PATIENCE, open.read(&mut [0; 1])).await?.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    busy.go_on().await?;
    assert_eq!(server.counters().accepted, 0);
    Ok(())
}

/// Who is connected cannot tell that it was not accepted yet.
#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn refuse_leaves_what_was_never_served(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    for (accepted, addr) in [2, 4].into_iter().zip(both(&web, 7)) {
        let busy = Busy::keep(&web).await?;
        let mut open = [client.tcp_connect(addr).await?, client.tcp_connect(addr).await?];
        server.refuse();
        assert_eq!(client.tcp_connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(server.counters().accepted, accepted);
        busy.go_on().await?;
        for open in &mut open {
            assert_eq!(&say(open, b"ping").await?, b"ping");
        }
        server.resume()?;
    }
    Ok(())
}

/// The node's only thread, kept busy: nothing is accepted meanwhile.
struct Busy {
    go_on: std::sync::mpsc::Sender<()>,
    blocked: tokio::task::JoinHandle<()>,
}

impl Busy {
    async fn keep(node: &Node) -> netlab::Result<Self> {
        let (go_on, gate) = std::sync::mpsc::channel();
        let (begun, busy) = tokio::sync::oneshot::channel();
        let blocked = node.spawn(async move {
            begun.send(()).expect("the test waits for it");
            gate.recv().expect("the test says when");
        });
        busy.await?;
        Ok(Self { go_on, blocked })
    }

    async fn go_on(self) -> netlab::Result {
        self.go_on.send(())?;
        self.blocked.await?;
        Ok(())
    }
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn refuse_leaves_what_is_open(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    for addr in both(&web, 7) {
        let mut open = client.tcp_connect(addr).await?;
        assert_eq!(&say(&mut open, b"ping").await?, b"ping");
        server.refuse();
        assert_eq!(client.tcp_connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(&say(&mut open, b"more").await?, b"more");
        server.resume()?;
        assert_eq!(&say(&mut client.tcp_connect(addr).await?, b"back").await?, b"back");
    }
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn hang_accepts_and_answers_nobody_until_it_resumes(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    for addr in both(&web, 7) {
        let (accepted, read) = (server.counters().accepted, server.counters().bytes_in);
        let mut old = client.tcp_connect(addr).await?;
        assert_eq!(&say(&mut old, b"ping").await?, b"ping");
        server.hang();
        let mut new = client.tcp_connect(addr).await?;
        for stream in [&mut old, &mut new] {
            stream.write_all(b"heh?").await?;
        }
        server.until(move |seen| seen.accepted == accepted + 2).await?;
        assert!(timeout(SILENCE, old.read(&mut [0; 1])).await.is_err(), "the old one is answered");
        assert!(timeout(SILENCE, new.read(&mut [0; 1])).await.is_err(), "the new one is answered");
        assert_eq!(server.counters().bytes_in, read + 4, "something is read");
        server.resume()?;
        assert_eq!((&hear(&mut old).await?, &hear(&mut new).await?), (b"heh?", b"heh?"));
    }
    Ok(())
}

/// What hangs can be ended as well: nobody waits for its resumption.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn what_hangs_can_be_stopped_and_killed(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    let mut open = client.tcp_connect((&web, 7)).await?;
    say(&mut open, b"ping").await?;
    server.hang();
    server.stop();
    assert_eq!(timeout(PATIENCE, open.read(&mut [0; 1])).await??, 0);
    server.until(|seen| seen.open == 0).await?;
    server.resume()?;
    let mut open = client.tcp_connect((&web, 7)).await?;
    say(&mut open, b"ping").await?;
    server.hang();
    open.write_all(b"heh?").await?;
    server.kill();
    assert_eq!(
        timeout(PATIENCE, open.read(&mut [0; 1])).await?.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    server.until(|seen| seen.open == 0).await?;
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn slow_takes_its_time_for_each_answer(client: Node, web: Node) -> netlab::Result {
    const DELAY: Duration = Duration::from_millis(150);
    let server = web.serve(servers::echo(7)).await?;
    for addr in both(&web, 7) {
        let mut open = client.tcp_connect(addr).await?;
        server.slow(DELAY);
        for _ in 0..2 {
            let since = Instant::now();
            assert_eq!(&say(&mut open, b"slow").await?, b"slow");
            assert!(since.elapsed() >= DELAY, "{:?}", since.elapsed());
        }
        // Who waits already is answered at once when it resumes.
        server.slow(Duration::from_secs(1000));
        let read = server.counters().bytes_in;
        open.write_all(b"fast").await?;
        server.until(move |seen| seen.bytes_in == read + 4).await?;
        server.resume()?;
        assert_eq!(&hear(&mut open).await?, b"fast");
    }
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn throttle_bounds_the_rate(client: Node, web: Node) -> netlab::Result {
    const BYTES: u64 = 300_000;
    const RATE: u64 = 1_000_000;
    let source = web.serve(servers::source(9000).bytes(BYTES)).await?;
    let sink = web.serve(servers::sink(9001)).await?;
    source.throttle(RATE);
    sink.throttle(RATE);
    let mut all = Vec::new();
    client.tcp_connect((&web, 9000)).await?.read_to_end(&mut all).await?;
    assert_eq!(all.len() as u64, BYTES);
    let mut stream = client.tcp_connect((&web, 9001)).await?;
    stream.write_all(&all).await?;
    stream.shutdown().await?;
    assert_eq!(stream.read(&mut [0; 1]).await?, 0);
    source.until(|seen| seen.closed == 1).await?;
    sink.until(|seen| seen.closed == 1).await?;
    for transfer in [source.transfers()[0], sink.transfers()[0]] {
        assert_eq!(transfer.bytes, BYTES);
        // The first portion goes at once. A slow machine makes it slower, never faster.
        assert!(transfer.rate() < RATE as f64 * 1.1, "{transfer}");
    }
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn flap_goes_down_and_up_until_it_is_told_otherwise(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(7)).await?;
    let period = Duration::from_millis(40);
    let mut open = client.tcp_connect((&web, 7)).await?;
    say(&mut open, b"ping").await?;
    server.flap(period, period);
    // It begins with down.
    assert_eq!(client.tcp_connect((&web, 7)).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(open.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    for _ in 0..2 {
        let mut open = eventually(PATIENCE, async || client.tcp_connect((&web, 7)).await).await?;
        let end = timeout(PATIENCE, open.read(&mut [0; 1])).await?;
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset, "it goes down again");
    }
    server.resume()?;
    let mut open = client.tcp_connect((&web, 7)).await?;
    assert!(timeout(period * 4, open.read(&mut [0; 1])).await.is_err(), "it flaps on");
    assert_eq!(&say(&mut open, b"stay").await?, b"stay");
    // Another control ends it as well.
    server.flap(period, period);
    server.stop();
    assert!(timeout(period * 4, server.until(|_seen| false)).await.is_err());
    assert!(!server.is_listening(), "it has come up again");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn a_udp_server_obeys_too(client: Node, web: Node) -> netlab::Result {
    const DELAY: Duration = Duration::from_millis(150);
    let server = web.serve(servers::udp_echo(7)).await?;
    for addr in both(&web, 7) {
        let local = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = client.udp_socket(local).await?;
        socket.connect(addr).await?;
        let ask = async || -> std::io::Result<usize> {
            socket.send(b"udp!").await?;
            timeout(PATIENCE, socket.recv(&mut [0; 9])).await?
        };
        assert_eq!(ask().await?, 4);

        server.slow(DELAY);
        let since = Instant::now();
        assert_eq!(ask().await?, 4);
        assert!(since.elapsed() >= DELAY);

        server.hang();
        let before = server.counters();
        socket.send(b"udp!").await?;
        server.until(move |seen| seen.datagrams_in == before.datagrams_in + 1).await?;
        assert!(timeout(SILENCE, socket.recv(&mut [0; 9])).await.is_err());
        assert_eq!(server.counters().datagrams_out, before.datagrams_out);

        for down in [servers::Serving::stop, servers::Serving::kill, servers::Serving::refuse] {
            down(&server);
            assert_eq!(ask().await.unwrap_err().kind(), ErrorKind::ConnectionRefused, "port unreachable");
            server.resume()?;
            assert_eq!(ask().await?, 4);
        }
    }
    Ok(())
}
