//! When a program is ready, and what is said when it is not.

use std::fs;
use std::time::{Duration, Instant};

use netlab::inspect::SocketState;
use netlab::prelude::*;
use netlab::{ProgramError, ProgramErrorKind};
use tokio::io::AsyncReadExt;

use crate::helper::AS;
use crate::{PATIENCE, helper, sh};

/// How long what is never ready is waited for.
const BRIEFLY: Duration = Duration::from_millis(100);

fn seen(error: &ProgramError) -> &str {
    match error.kind() {
        ProgramErrorKind::NotReady { seen, .. } | ProgramErrorKind::EndedEarly { seen, .. } => seen,
        other => panic!("{other:?}: {error}"),
    }
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node web lan; node client lan")]
async fn a_port_that_is_listened_on(web: Node, client: Node) -> netlab::Result {
    for (number, on) in [(80, "0.0.0.0:80"), (81, "[::]:81"), (82, "127.0.0.1:82")] {
        let server = helper(&web, "tcp").arg(on).ready_when(ready::port(number)).start().await?;
        // Nobody has connected to find out.
        let sockets = web.sockets()?;
        let of_port = sockets.iter().filter(|socket| socket.local.port() == number);
        assert!(of_port.map(|socket| socket.state).eq([SocketState::Listen]), "{sockets:?}");
        if number != 82 {
            let mut answer = String::new();
            client.tcp_connect(("web", number)).await?.read_to_string(&mut answer).await?;
            assert_eq!(answer, format!("web {}", server.pid()));
        }
        server.kill()?;
        server.wait(PATIENCE).await?;
    }
    helper(&web, "udp").arg("10.0.0.1:53").ready_when(ready::udp_port(53)).start_blocking()?;
    // The same port of the other protocol, or of another node, is not it.
    let error = sh(&web, "exec sleep 1000")
        .ready_when(ready::port(53))
        .ready_within(BRIEFLY)
        .start()
        .await
        .unwrap_err();
    assert_eq!(
        seen(&error).split("(process").next(),
        Some("nothing listens on 53/tcp; in the node, these do: 10.0.0.1:53/udp ")
    );
    assert!(seen(&error).ends_with(")"), "{error}");
    let error =
        sh(&client, "exec sleep 1000").ready_when(ready::udp_port(53)).ready_within(BRIEFLY).start().await;
    assert_eq!(seen(&error.unwrap_err()), "nothing listens on 53/udp; nothing does in the node");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node web lan")]
async fn a_port_is_the_program_s_own(web: Node) -> netlab::Result {
    // A daemon that its starter has left to itself is the program's.
    let daemon = helper(&web, "tcp-in-a-child").arg("0.0.0.0:80").ready_when(ready::port(80)).start().await?;
    let error = sh(&web, "echo not me; exec sleep 1000")
        .ready_when(ready::port(80))
        .ready_within(BRIEFLY)
        .start()
        .await;
    let error = error.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("was not ready within"), "{text}");
    assert!(text.contains("80/tcp is listened on, but by process "), "{text}");
    assert!(
        text.contains(", which it did not start; in the node, these do: 0.0.0.0:80/tcp (process"),
        "{text}"
    );
    assert!(text.ends_with("\n    | not me"), "{text}");
    assert_eq!(error.last_lines(), ["not me"]);
    daemon.kill()?;
    // It was not reached by that, having a session of its own: it listens on, and ends with the test.
    let server = format!("setsid /proc/{}/exe {AS} tcp 0.0.0.0:81 & exit 0", std::process::id());
    let background = sh(&web, &server);
    let background = background.may_exit().ready_when(ready::port(81)).start().await?;
    assert!(background.wait(PATIENCE).await?.success());
    let own = web.tcp_listener("0.0.0.0:8080").await?;
    let error = sh(&web, "exec sleep 1000").ready_when(ready::port(8080)).ready_within(BRIEFLY).start().await;
    assert!(seen(&error.unwrap_err()).contains("by the test itself"));
    drop(own);
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn a_program_that_ends_is_not_waited_for(a: Node) -> netlab::Result {
    let started = Instant::now();
    let dies =
        sh(&a, "echo cannot bind; exit 4").ready_when(ready::port(80)).ready_within(Duration::from_secs(600));
    let error = dies.start().await.unwrap_err();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(error.status().and_then(|status| status.code()), Some(4));
    let text = error.to_string();
    assert!(text.contains("ended before it was ready (exit status: 4): nothing listens on 80/tcp"), "{text}");
    assert!(text.ends_with("\n    | cannot bind"), "{text}");
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn a_line_a_file_and_combinations(a: Node) -> netlab::Result {
    let script = "echo starting; echo 'ready in 12 ms' >&2; touch made; exec sleep 1000";
    let dir = a.dir()?;
    let daemon = || sh(&a, script).current_dir(&dir);
    daemon().ready_when(ready::log(r"^ready in \d+ ms$")).start().await?;
    fs::remove_file(dir.join("made")).unwrap_or_default();
    daemon().ready_when(ready::file("made")).start().await?;
    daemon().ready_when(ready::all([ready::file("made"), ready::log("^starting$")])).start().await?;
    daemon().ready_when(ready::any([ready::port(80), ready::log("ready")])).start().await?;
    // Said twice, both are meant.
    let never =
        daemon().ready_when(ready::log("ready")).ready_when(ready::log("never")).ready_within(BRIEFLY);
    assert_eq!(
        seen(&never.start().await.unwrap_err()),
        "it wrote no line like `never`; the last it wrote is `ready in 12 ms`"
    );
    let never = ready::any([
        ready::port(80),
        ready::all([ready::file("/no/such"), ready::log("ready"), ready::fd()]),
    ]);
    assert_eq!(
        never.to_string(),
        "any of (port 80/tcp, all of (`/no/such`, a line like `ready`, `READY=1` by sd_notify))"
    );
    let error = daemon().ready_when(never).ready_within(BRIEFLY).start().await.unwrap_err();
    assert_eq!(
        seen(&error),
        "none of these: nothing listens on 80/tcp; nothing does in the node; there is no `/no/such`; and it did not say \
         `READY=1` on its NOTIFY_SOCKET"
    );
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn a_program_that_was_never_ready_is_killed(a: Node) -> netlab::Result {
    let pids = a.dir()?.join("pid");
    let script =
        format!("trap '' TERM; echo $$ > {}; echo here; while :; do sleep 1000; done", pids.display());
    let never =
        sh(&a, &script).ready_when(ready::all([ready::log("here"), ready::port(1)])).ready_within(BRIEFLY);
    never.start().await.unwrap_err();
    let pid = fs::read_to_string(pids)?.trim().parse()?;
    crate::wait_for_state(pid, "Z-");
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn a_notification(a: Node) -> netlab::Result {
    let (theirs, ours) = std::io::pipe()?;
    let cold = helper(&a, "notify").stdin(theirs.try_clone()?).ready_when(ready::fd()).ready_within(BRIEFLY);
    assert_eq!(
        seen(&cold.start().await.unwrap_err()),
        "it did not say `READY=1` on its NOTIFY_SOCKET; its status is `warming up`"
    );
    std::io::Write::write_all(&mut &ours, b"!")?;
    let warm = helper(&a, "notify").stdin(theirs).ready_when(ready::fd()).start().await?;
    warm.kill()?;
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node web lan; node client lan")]
async fn sockets_are_passed(web: Node, client: Node) -> netlab::Result {
    let server = helper(&web, "passed").env("LISTEN_FDNAMES", "inherited").listen((&web, 80));
    let server = server.listen_named("admin socket", "0.0.0.0:81").listen_udp_named("dns", "0.0.0.0:53");
    let server = server.ready_when(ready::all([ready::port(80), ready::udp_port(53)])).start().await?;
    let mut answer = String::new();
    client.tcp_connect("web:80").await?.read_to_string(&mut answer).await?;
    assert_eq!(answer, format!("web {}", server.pid()));
    assert_eq!(server.log()?, "3 sockets: unknown:admin socket:dns\n");
    // They are the program's alone.
    server.kill()?;
    server.wait(PATIENCE).await?;
    assert!(web.sockets()?.iter().all(|socket| !socket.listens()), "{:?}", web.sockets()?);

    let error = helper(&web, "passed").listen("10.9.9.9:80").start().await.unwrap_err();
    assert!(
        format!("{error:#}")
            .contains("the socket on 10.9.9.9:80/tcp that is to be passed to it: cannot assign"),
        "{error:#}"
    );
    for name in ["a:b", "", "tab\t", "höchst", &"x".repeat(256)] {
        let error = helper(&web, "passed").listen_named(name, "0.0.0.0:80").start().await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.ends_with("without `:`") && text.contains("is no name for a socket"), "{text}");
    }
    let error = web.command("/no-such-program").listen("0.0.0.0:80").start().await.unwrap_err();
    assert!(format!("{error:#}").contains("no such file"), "{error:#}");
    let error = web.command("no-such-program").listen("0.0.0.0:80").start().await.unwrap_err();
    assert!(format!("{error:#}").contains("no such file"), "{error:#}");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node web lan")]
async fn an_answer_over_http(web: Node) -> netlab::Result {
    let switch = web.dir()?.join("healthy");
    let server = || helper(&web, "http").arg("0.0.0.0:8080").arg(&switch);
    let sick = server().ready_when(ready::http(":8080/health", 200)).ready_within(Duration::from_millis(300));
    let error = sick.start().await.unwrap_err();
    assert_eq!(seen(&error), "`GET /health` of 127.0.0.1:8080 was answered with 503, not 200");
    assert_eq!(error.last_lines().last().map(String::as_str), Some("answered 503 Service Unavailable"));
    let started = tokio::spawn(server().ready_when(ready::http(":8080/health", 200)).start());
    fs::write(&switch, "")?;
    let server = started.await??;
    assert!(server.log()?.ends_with("answered 200 OK\n"));
    server.terminate(PATIENCE).await?;
    // Something that listens and never answers is waited for with patience that ends.
    let error =
        helper(&web, "tcp").arg("127.0.0.1:80").ready_when(ready::http("/", 200)).ready_within(BRIEFLY);
    let error = error.start().await.unwrap_err();
    assert!(seen(&error).contains("`GET /` of 127.0.0.1:80 was"), "{error}");
    Ok(())
}
