//! What netlab tells of its own doings (`NETLAB_LOG`).

use std::process::Command;

use netlab::prelude::*;

use crate::{PATIENCE, sh};

/// What `what_is_asked_for_is_told` has others do.
const DO: &str = "NETLAB_TEST_DO";

/// Run again by `what_is_asked_for_is_told`.
#[netlab::test(topology = "net lan 10.0.0.0/24; node web lan=.2")]
async fn does_this_and_that(web: Node) -> netlab::Result {
    #[expect(clippy::disallowed_methods, reason = "tells the run that is looked at from the others")]
    if std::env::var_os(DO).is_some() {
        let server = web.serve(servers::echo(80)).await?;
        server.kill();
        server.resume()?;
        let program = sh(&web, "echo up; exec sleep 1000").ready_when(ready::log("up")).start().await?;
        program.terminate(PATIENCE).await?;
    }
    Ok(())
}

/// Whether it succeeds, and what it writes.
fn run(log: &str) -> netlab::Result<(bool, String)> {
    let run = Command::new(std::env::current_exe()?)
        .args(["--exact", "log::does_this_and_that", "--no-capture"])
        .env(DO, "1")
        .env("NETLAB_LOG", log)
        .output()?;
    Ok((run.status.success(), String::from_utf8([run.stdout, run.stderr].concat())?))
}

/// What is told, without the time.
fn told(log: &str) -> netlab::Result<Vec<String>> {
    let (passed, written) = run(log)?;
    assert!(passed, "{written}");
    // `netlab 13:00:05.000042 ops: ...`
    let lines = written.lines().filter_map(|line| {
        let (time, said) = line.strip_prefix("netlab ")?.split_once(' ')?;
        let is_time = time.len() == 15 && time.chars().all(|c| c.is_ascii_digit() || ":.".contains(c));
        is_time.then(|| said.to_owned())
    });
    Ok(lines.collect())
}

#[netlab::test]
fn what_is_asked_for_is_told() -> netlab::Result {
    let programs = told("programs")?;
    let web = "programs: node `web`: `sh -c echo up; exec sleep 1000`: ";
    let said: Vec<_> = programs.iter().map(|line| line.strip_prefix(web).unwrap_or(line)).collect();
    assert_eq!(said.len(), 6, "{said:?}");
    assert!(said[0].starts_with("started, as sh, pid ") && said[1].starts_with("ready after "), "{said:?}");
    assert!(said[2].starts_with("`kill -SIGTERM -- -"), "{said:?}");
    assert!(said.contains(&"ended (signal: 15 (SIGTERM))"), "{said:?}");

    let all = told("labs,ops,servers")?;
    let at = |what: &str| {
        let found = all.iter().position(|line| line.starts_with(what));
        found.unwrap_or_else(|| panic!("no `{what}` in {all:#?}"))
    };
    let order = [
        at("labs: lab `does_this_and_that`: 3 namespaces, "),
        at("ops: web: ip netns add "),
        at("ops: web: ip addr add 10.0.0.2/24"),
        at("labs: lab `does_this_and_that`: built in "),
        at("servers: node `web`: the echo server listens on [::]:80/tcp"),
        at("servers: node `web`: the echo server listens no more, and resets what is open (RST)"),
        at("servers: node `web`: the echo server serves as it should"),
    ];
    assert!(order.is_sorted(), "{order:?} in {all:#?}");
    assert_eq!(all.iter().filter(|line| line.ends_with("listens on [::]:80/tcp")).count(), 2);
    assert!(!all.iter().any(|line| line.starts_with("programs")), "{all:#?}");

    assert_eq!(told("")?, Vec::<String>::new());
    let (passed, written) = run("debug")?;
    assert!(!passed && written.contains("NETLAB_LOG: `debug` is none of `labs`, `ops`"), "{written}");
    Ok(())
}
