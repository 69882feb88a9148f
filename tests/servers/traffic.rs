//! Echo, sink and source, and what is counted.

use std::time::Duration;

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{PATIENCE, both, say};

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn echoes_are_counted(client: Node, web: Node) -> netlab::Result {
    let tcp = web.serve(servers::echo(7)).await?;
    let udp = web.serve(servers::udp_echo(7)).await?;
    for addr in both(&web, 7) {
        let mut stream = client.tcp_connect(addr).await?;
        say(&mut stream, b"over").await?;
        // Half-closed, as `nc -N` does: the rest comes all the same.
        stream.write_all(b"rest").await?;
        stream.shutdown().await?;
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await??;
        assert_eq!(rest, b"rest");

        let socket = client.udp_socket(if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
        for size in [0, 1, 1400, 9000] {
            let mut heard = vec![0; 10_000];
            socket.send_to(&vec![b'x'; size], addr).await?;
            let (length, from) = timeout(PATIENCE, socket.recv_from(&mut heard)).await??;
            assert_eq!((length, from), (size, addr));
        }
    }
    let seen = tcp.until(|seen| seen.closed == 2).await?;
    assert_eq!((seen.accepted, seen.open, seen.failed), (2, 0, 0));
    assert_eq!((seen.bytes_in, seen.bytes_out), (16, 16));
    assert_eq!((seen.requests, seen.datagrams_in), (0, 0));
    let seen = udp.counters();
    assert_eq!((seen.datagrams_in, seen.datagrams_out, seen.accepted), (8, 8, 0));
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn a_sink_and_a_source_measure(client: Node, web: Node) -> netlab::Result {
    const BYTES: u64 = 8 << 20;
    let sink = web.serve(servers::sink(9000)).await?;
    let source = web.serve(servers::source(9001)).await?;
    for (count, addr) in both(&web, 9000).into_iter().enumerate() {
        let count = count as u64 + 1;
        let mut stream = client.tcp_connect(addr).await?;
        stream.write_all(&vec![1; BYTES as usize]).await?;
        stream.shutdown().await?;
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await??, 0, "all has arrived");
        let local = stream.local_addr()?;
        assert_eq!(sink.until(move |seen| seen.closed == count).await?.bytes_in, BYTES * count);
        let transfer = *sink.transfers().last().expect("it has ended");
        assert_eq!((transfer.peer, transfer.bytes), (local, BYTES));
        assert!(transfer.duration > Duration::ZERO && transfer.rate() > 0.0, "{transfer}");

        // A source without an end goes on until its client does not.
        let mut stream = client.tcp_connect((addr.ip(), 9001)).await?;
        timeout(PATIENCE, stream.read_exact(&mut vec![0; BYTES as usize])).await??;
        drop(stream);
        source.until(move |seen| seen.closed == count).await?;
        assert!(source.transfers().last().expect("it has ended").bytes >= BYTES);
    }
    let error = sink.until(|seen| seen.accepted == 3).within(Duration::from_millis(50)).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.starts_with("node `web`: the sink does not count what it should: 2 accepted, 0 open, 2 closed"),
        "{text}"
    );
    Ok(())
}

/// A panic in a server's code is that connection's, and counted.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn a_server_that_panics_has_failed_a_connection(client: Node, web: Node) -> netlab::Result {
    struct Panics;

    impl servers::Server for Panics {
        fn kind(&self) -> &str {
            "panicking server"
        }

        fn listen(&self) -> Vec<servers::Listen> {
            vec![servers::Listen::tcp(7)]
        }

        async fn connection(
            self: std::sync::Arc<Self>,
            _connection: servers::Connection,
        ) -> std::io::Result<()> {
            panic!("on purpose")
        }
    }

    let server = web.serve(Panics).await?;
    for count in 1..=2 {
        let mut stream = client.tcp_connect((&web, 7)).await?;
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await??, 0);
        server.until(move |seen| seen.closed == count && seen.failed == count).await?;
    }
    Ok(())
}
