//! Waiting until something holds.

use std::cell::Cell;
use std::error::Error as _;
use std::io::{Error, ErrorKind};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use netlab::NotInTime;
use netlab::prelude::*;
use tokio::io::AsyncWriteExt;

const SOON: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(30);

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn a_server_that_comes_late_is_waited_for(a: Node, b: Node) -> netlab::Result {
    let tries = Cell::new(0);
    let stream = eventually(LONG, async || {
        tries.set(tries.get() + 1);
        if tries.get() == 3 {
            let listener = b.tcp_listener("0.0.0.0:80").await?;
            b.spawn(async move { listener.accept().await?.0.write_all(b"late").await });
        }
        a.tcp_connect("b:80").await
    });
    assert_eq!(stream.await?.peer_addr()?.to_string(), "10.0.0.2:80");
    assert_eq!(tries.get(), 3, "what holds is not tried again");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn the_last_failure_is_told_with_its_causes(a: Node) -> netlab::Result {
    let error = eventually(Duration::from_secs(1), async || a.tcp_connect("b:80").await).await.unwrap_err();
    let text = format!("{error:#}");
    assert_eq!(tried(&text), format!("{} times: Connection refused (os error 111)", error.tries()));
    assert!(error.tries() > 1, "{text}");
    assert_eq!(format!("{:?}", netlab::Error::from(error)), text, "as a test's error it reads the same");

    let error = eventually_blocking(SOON, || a.iface("eth7")).unwrap_err();
    let cause = error.source().expect("the last failure").to_string();
    assert_eq!(cause, "node `a` has no interface `eth7`; interfaces there: lo, eth0");
    Ok(())
}

/// What an error says after its deadline, which may be scaled.
fn tried(text: &str) -> &str {
    let (_, tried) =
        text.split_once(", tried ").unwrap_or_else(|| panic!("it does not say how often: {text}"));
    tried
}

fn told_of_a_panic(error: &NotInTime, place: u32) {
    let last = error.last().expect("a failure");
    let location = last.location().expect("a place");
    assert!(location.contains(&format!("eventually.rs:{place}:")), "{location}");
    let text = error.last().map(ToString::to_string).unwrap_or_default();
    assert!(
        text.starts_with(&format!("panicked at {location}: assertion `left == right` failed: sums\n")),
        "{text}"
    );
}

/// Run by `failed_assertions_are_not_shown_each_time`, which looks at what it writes.
#[netlab::test]
async fn failed_assertions_are_failures() {
    let line = line!() + 1;
    let error = eventually(SOON, async || assert_eq!(1 + 1, 3, "sums")).await.unwrap_err();
    told_of_a_panic(&error, line);
    let line = line!() + 2;
    let error = eventually(SOON, async || {
        assert_eq!(1 + 1, 3, "sums");
    });
    told_of_a_panic(&error.await.unwrap_err(), line);
    let line = line!() + 1;
    let error = eventually_blocking(SOON, || assert_eq!(1 + 1, 3, "sums")).unwrap_err();
    told_of_a_panic(&error, line);

    // After it has waited, and within another.
    let line = line!() + 3;
    let error = eventually(SOON, async || {
        tokio::task::yield_now().await;
        assert_eq!(1 + 1, 3, "sums");
        eventually_blocking(SOON, || -> Result<(), _> { Err("not reached") })
    });
    told_of_a_panic(&error.await.unwrap_err(), line);
    let error = eventually(SOON, async || {
        let inner = eventually_blocking(SOON, || assert!(SOON == LONG, "inner"));
        assert!(inner.is_ok(), "outer after {inner:?}");
    });
    let text = format!("{:#}", error.await.unwrap_err());
    assert!(text.contains(": outer after Err(did not hold within "), "{text}");

    // Positive control: panics elsewhere are shown as ever.
    assert!(std::panic::catch_unwind(|| panic!("shown as ever")).is_err());
}

#[netlab::test]
fn failed_assertions_are_not_shown_each_time() -> netlab::Result {
    let itself = std::env::current_exe()?;
    let output = Command::new(itself)
        .args(["--exact", "eventually::failed_assertions_are_failures", "--no-capture"])
        .output()?;
    assert!(output.status.success(), "{output:?}");
    let written = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
    assert!(!written.contains("sums"), "{written}");
    assert!(!written.contains("inner"), "{written}");
    assert!(written.contains("shown as ever"), "{written}");
    Ok(())
}

#[netlab::test]
async fn an_attempt_that_never_ends_is_cut_at_the_deadline() {
    let started = Instant::now();
    let error = eventually(SOON, async || std::future::pending::<()>().await).await.unwrap_err();
    assert!(started.elapsed() < LONG / 2);
    assert_eq!(tried(&format!("{error:?}")), "once, which did not end");

    let tries = Cell::new(0);
    let error = eventually(Duration::from_secs(1), async || -> Result<(), _> {
        tries.set(tries.get() + 1);
        if tries.get() > 1 {
            std::future::pending::<()>().await;
        }
        Err(Error::new(ErrorKind::NotFound, "not there"))
    });
    assert_eq!(
        tried(&format!("{:?}", error.await.unwrap_err())),
        "2 times, the last of which did not end: not there"
    );
}

#[netlab::test]
fn a_late_truth_counts_where_it_blocks() -> netlab::Result {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    eventually_blocking(Duration::from_millis(1), || {
        assert!(receive.recv_timeout(SOON).is_err());
    })?;
    drop(send);
    Ok(())
}

/// The deadline is looked at last, however long the pauses are.
#[netlab::test]
async fn it_is_tried_a_last_time_at_the_deadline() {
    let started = Instant::now();
    let limit = Duration::from_millis(200);
    let last = Cell::new(Duration::ZERO);
    let error = eventually(limit, async || -> Result<(), _> {
        last.set(started.elapsed());
        Err("no")
    });
    error.await.unwrap_err();
    assert!(last.get() >= limit, "{last:?}");
}

#[netlab::test]
async fn it_may_be_a_task_of_its_own() -> netlab::Result {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let enough = 4;
    let waiting = tokio::spawn(eventually(LONG, async move || {
        let tries = TRIES.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::task::yield_now().await;
        if tries < enough { Err("too few") } else { Ok(tries) }
    }));
    assert_eq!(waiting.await??, enough);
    Ok(())
}

/// Run again by `deadlines_are_scaled`.
#[netlab::test]
async fn waits_in_vain() {
    let error = eventually(SOON, async || -> Result<(), _> { Err("no") }).await.unwrap_err();
    println!("{error:#}");
}

#[netlab::test]
fn deadlines_are_scaled() -> netlab::Result {
    for (scale, within) in [("1", "60ms"), ("3", "180ms (NETLAB_TIMEOUT_SCALE=3)")] {
        let output = Command::new(std::env::current_exe()?)
            .args(["--exact", "eventually::waits_in_vain", "--no-capture"])
            .env("NETLAB_TIMEOUT_SCALE", scale)
            .output()?;
        let written = String::from_utf8(output.stdout)?;
        assert!(written.contains(&format!("did not hold within {within}, tried ")), "{written}");
        assert!(output.status.success(), "{written}");
    }
    Ok(())
}
