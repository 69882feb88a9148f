//! The identity server and the client, HTTP/1.1 and HTTP/2.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{PATIENCE, SILENCE, both};

#[netlab::test(topology = "
    net lan 10.0.0.0/24 fd00::/64
    node client lan=.2,::2
    node web lan=.3,::3
")]
async fn it_says_who_it_is_and_whom_it_saw(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::identity(80)).await?;
    let mut sequence = 0;
    for addr in both(&web, 80) {
        for http2 in [false, true] {
            let request = client.get(format!("http://{addr}/a/b?c=d")).header("X-Colour", "blue");
            let response = if http2 { request.http2() } else { request }.await?;
            sequence += 1;
            assert_eq!(response.status, 200);
            assert_eq!(response.from, addr);
            let protocol = if http2 { "HTTP/2.0" } else { "HTTP/1.1" };
            assert_eq!(response.protocol, protocol);
            assert_eq!(response.header("Netlab-Node"), Some("web"));
            let seen = response.seen()?;
            assert_eq!((seen.node.as_str(), seen.local, seen.peer), ("web", addr, response.local));
            assert!(client.addrs().contains(&seen.peer.ip()) && seen.peer.is_ipv4() == addr.is_ipv4());
            assert_eq!((seen.sequence, seen.protocol.as_str(), seen.body), (sequence, protocol, 0));
            assert_eq!(seen.header("x-colour"), Some("blue"));
            assert_eq!(seen.request, "GET /a/b?c=d");
            let host = seen.header("host").expect("it has a host");
            assert!(addr.to_string().starts_with(host.trim_end_matches(":80")), "{host}");
        }
    }
    let seen = server.until(|seen| seen.open == 0).await?;
    assert_eq!((seen.accepted, seen.requests), (4, 4));

    for size in [5_000, 1 << 20] {
        let response = client.get(format!("http://web/?size={size}")).await?;
        assert_eq!((response.body.len(), response.seen()?.node), (size, "web".to_owned()));
    }
    let response = client.get("http://web/").method("POST").body("twelve bytes").await?;
    let seen = response.seen()?;
    assert_eq!((seen.body, seen.request.as_str(), seen.header("host")), (12, "POST /", Some("web")));
    assert!(response.to_string().starts_with("HTTP/1.1 200\n"), "{response}");
    Ok(())
}

/// The text is an interface: others read it.
#[netlab::test(topology = "net lan 10.0.0.0/24; node client lan=.2; node web lan=.3")]
async fn the_text_stays_as_it_is(client: Node, web: Node) -> netlab::Result {
    web.serve(servers::identity(80)).await?;
    let mut stream = client.tcp_connect((&web, 80)).await?;
    let port = stream.local_addr()?.port();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: web\r\nCookie: a=b\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert_eq!(
        text,
        format!(
            "node: web\npeer: 10.0.0.2:{port}\nlocal: 10.0.0.3:80\nsequence: 1\nprotocol: HTTP/1.1\nrequest: GET /x\n\
             body: 0 bytes\nheader host: web\nheader cookie: a=b\nheader connection: close\n"
        )
    );
    Ok(())
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("http://web/").body(Empty::new()).expect("a request")
}

async fn seen(response: Response<Incoming>) -> netlab::Result<servers::Seen> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?.parse()?)
}

/// In turn by HTTP/1.1, at once by HTTP/2: the requests are numbered, the connection is one.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn a_connection_carries_many_requests(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::identity(80)).await?;
    let stream = client.tcp_connect((&web, 80)).await?;
    let local = stream.local_addr()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    for sequence in 1..=3 {
        sender.ready().await?;
        let seen = seen(sender.send_request(get()).await?).await?;
        assert_eq!((seen.sequence, seen.peer, seen.protocol.as_str()), (sequence, local, "HTTP/1.1"));
    }
    drop(sender);
    connection.await??;
    let counted = server.until(|seen| seen.closed == 1).await?;
    assert_eq!((counted.accepted, counted.requests, counted.failed), (1, 3, 0));

    let stream = TokioIo::new(client.tcp_connect((&web, 80)).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = tokio::spawn(connection);
    // The second overtakes the first.
    server.set_delay(Duration::from_secs(1000));
    let mut first = std::pin::pin!(sender.send_request(get()));
    tokio::select! {
        answered = &mut first => panic!("it is answered at once: {answered:?}"),
        asked = server.until(|seen| seen.requests == 4) => drop(asked?),
    }
    server.set_delay(Duration::ZERO);
    let second = seen(tokio::time::timeout(PATIENCE, sender.send_request(get())).await??).await?;
    assert_eq!((second.sequence, second.protocol.as_str()), (5, "HTTP/2.0"));
    server.stop();
    assert!(first.await.is_err(), "it is answered after the end");
    drop((sender, connection));
    let counted = server.until(|seen| seen.open == 0).await?;
    assert_eq!((counted.accepted, counted.requests), (2, 5));
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn it_is_slow_and_flaps_in_both_versions(client: Node, web: Node) -> netlab::Result {
    const DELAY: Duration = Duration::from_millis(150);
    let server = web.serve(servers::identity(80)).await?;
    for http2 in [false, true] {
        let get = || {
            let request = client.get("http://web/");
            if http2 { request.http2() } else { request }
        };
        server.slow(DELAY);
        let since = Instant::now();
        get().await?;
        assert!(since.elapsed() >= DELAY, "HTTP/2: {http2}, {:?}", since.elapsed());
        server.resume()?;
        server.flap(DELAY, DELAY);
        let error = get().await.unwrap_err();
        assert_eq!(error.io_error().map(std::io::Error::kind), Some(ErrorKind::ConnectionRefused));
        // Up it comes, and down it goes again.
        eventually(PATIENCE, async || get().await).await?;
        eventually(PATIENCE, async || get().await.err().ok_or("it is up")).await?;
        server.resume()?;
        get().await?;
    }
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn status_delay_body_and_fields_change_while_it_runs(client: Node, web: Node) -> netlab::Result {
    const DELAY: Duration = Duration::from_millis(150);
    let first = servers::identity(80).status(503).body("not yet").header("set-cookie", "who=web");
    let server = web.serve(first).await?;
    for http2 in [false, true] {
        let get = || {
            let request = client.get("http://web/");
            if http2 { request.http2() } else { request }
        };
        server.set_status(503);
        server.set_body("not yet");
        let response = get().await?;
        assert_eq!((response.status, &*response.text()), (503, "not yet"));
        assert_eq!(response.header("set-cookie"), Some("who=web"));
        assert_eq!(response.header("netlab-node"), Some("web"));
        assert!(response.seen().unwrap_err().to_string().contains("the text begins with `not yet`"));

        server.set_status(200);
        server.unset_body();
        server.set_header("set-cookie", "who=you");
        let response = get().await?;
        assert_eq!((response.status, response.seen()?.node.as_str()), (200, "web"));
        assert_eq!(response.header("set-cookie"), Some("who=you"));
        server.set_header("set-cookie", "who=web");

        server.set_delay(DELAY);
        let since = Instant::now();
        get().await?;
        assert!(since.elapsed() >= DELAY);
        server.set_delay(Duration::ZERO);
    }
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn what_goes_wrong_has_its_kind(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::identity(80)).await?;
    let kind_within = async |http2: bool, timeout: Duration| -> ErrorKind {
        let request = client.get("http://web/").timeout(timeout);
        let error = if http2 { request.http2() } else { request }.await.expect_err("no response");
        let text = format!("{error:#}");
        assert!(text.starts_with("node `client`: GET http://web/: "), "{text}");
        error.io_error().expect("the system's error").kind()
    };
    let kind = async |http2| kind_within(http2, PATIENCE).await;
    for http2 in [false, true] {
        server.refuse();
        assert_eq!(kind(http2).await, ErrorKind::ConnectionRefused);
        server.resume()?;
        server.hang();
        assert_eq!(kind_within(http2, SILENCE).await, ErrorKind::TimedOut);
        server.resume()?;
        // What hung is served now, though nobody waits for it any more; it is counted.
        server.until(|seen| seen.open == 0).await?;
        // Ended in the middle of an answer.
        for (rst, expected) in [(true, ErrorKind::ConnectionReset), (false, ErrorKind::UnexpectedEof)] {
            server.set_delay(Duration::from_secs(1000));
            let requests = server.counters().requests;
            let (asked, ended) = tokio::join!(kind(http2), async {
                let asked = server.until(move |seen| seen.requests == requests + 1).await;
                if rst {
                    server.kill();
                } else {
                    server.stop();
                }
                asked
            });
            ended?;
            // The library for HTTP/2 may meet the reset while it writes, and then knows of an end only.
            let told_as_end = http2 && rst && asked == ErrorKind::UnexpectedEof;
            assert!(told_as_end || asked == expected, "{asked:?}, HTTP/2: {http2}, RST: {rst}");
            server.set_delay(Duration::ZERO);
            server.resume()?;
        }
    }
    for (url, why) in [
        ("http://nobody/", "GET http://nobody/: "),
        ("web", "a URL begins with `http://`"),
        ("ftp://web/", "neither `http` nor `https`"),
    ] {
        let error = format!("{:#}", client.get(url).await.unwrap_err());
        assert!(error.contains(why), "{error}");
    }
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
fn without_a_runtime_of_ones_own(client: Node, web: Node) -> netlab::Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(web.serve(servers::identity(80)))?;
    assert_eq!(client.get("http://web/").blocking()?.seen()?.node, "web");
    Ok(())
}

/// Handles and what they give may move between threads.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn requests_run_anywhere(lab: Lab, client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::identity(80)).await?;
    let asked = lab.host().spawn(async move { client.get("http://web/").await });
    assert_eq!(asked.await??.seen()?.sequence, 1);
    let waiting = server.clone();
    lab.host().spawn(async move { waiting.until(|seen| seen.closed == 1).await }).await??;
    Ok(())
}
