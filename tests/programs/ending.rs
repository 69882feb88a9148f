//! Signals, and the end of programs.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use netlab::prelude::*;
use netlab::{ProgramErrorKind, Signal};

use crate::{PATIENCE, number_after, sh, wait_for_state};

/// A program with a child, both of which say when they are there.
const WITH_CHILD: &str = "sleep 1000 & echo child $!; wait";

#[netlab::test(topology = "node a")]
async fn signals_are_for_the_whole_group(a: Node) -> netlab::Result {
    let program = sh(&a, WITH_CHILD).ready_when(ready::log("^child")).start().await?;
    let child = number_after(&program, "child");
    assert!(program.is_running() && program.status().is_none());
    program.stop()?;
    for pid in [program.pid(), child] {
        wait_for_state(pid, "T");
    }
    program.cont()?;
    for pid in [program.pid(), child] {
        wait_for_state(pid, "S");
    }
    program.kill()?;
    assert_eq!(program.wait(PATIENCE).await?.signal(), Some(Signal::KILL.number()));
    wait_for_state(child, "Z-");
    // There is nobody to signal any more, and to kill what is dead is no mistake.
    let error = program.signal(Signal::HUP).unwrap_err();
    assert!(matches!(error.kind(), ProgramErrorKind::Ended(_)) && error.status().is_some(), "{error}");
    program.kill()?;
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn who_is_asked_to_end_has_time_to_and_no_more(a: Node) -> netlab::Result {
    let script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 1000 & wait; done";
    let polite = sh(&a, script).ready_when(ready::log("up")).start().await?;
    assert_eq!(polite.terminate(PATIENCE).await?.code(), Some(7));
    assert_eq!(polite.log()?, "up\nbye\n");
    let stopped = sh(&a, script).ready_when(ready::log("up")).start().await?;
    stopped.stop()?;
    wait_for_state(stopped.pid(), "T");
    assert_eq!(stopped.terminate(PATIENCE).await?.code(), Some(7));
    // The child that it left behind in its group is gone as well.
    let script = "trap '' TERM; sleep 1000 & trap 'exit 8' TERM; echo child $!; wait";
    let careless = sh(&a, script).ready_when(ready::log("child")).start().await?;
    assert_eq!(careless.terminate_blocking(PATIENCE)?.code(), Some(8));
    wait_for_state(number_after(&careless, "child"), "Z-");
    let deaf = sh(&a, "trap '' TERM; echo up; while :; do sleep 1000; done").ready_when(ready::log("up"));
    let deaf = deaf.start_blocking()?;
    assert_eq!(deaf.terminate(Duration::from_millis(50)).await?.signal(), Some(Signal::KILL.number()));
    // It has ended already, which is as well.
    assert_eq!(deaf.terminate(PATIENCE).await?.signal(), Some(Signal::KILL.number()));
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn waiting_has_an_end(a: Node) -> netlab::Result {
    let program = sh(&a, "echo a line; read line; echo $line; exit 3").stdin(std::process::Stdio::piped());
    // A pipe that nobody holds any more is at its end at once.
    let program = program.start().await?;
    assert_eq!(program.wait(PATIENCE).await?.code(), Some(3));
    let error = program.wait_success(PATIENCE).await.unwrap_err();
    assert_eq!(error.status().and_then(|status| status.code()), Some(3));
    let expected = format!(
        "node `a`: `sh -c echo a line; read line; echo $line; exit 3` failed: exit status: 3\n  the last it wrote (its log is \
         `{}`):\n    | a line\n    | ",
        program.log_path().display()
    );
    assert_eq!(error.to_string(), expected);

    let endless = sh(&a, "exec sleep 1000").start().await?;
    let error = endless.wait(Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error.kind(), ProgramErrorKind::StillRunning { .. }), "{error}");
    assert!(error.to_string().contains("had not ended after"), "{error}");
    assert!(error.to_string().contains("it wrote nothing"), "{error}");
    assert!(endless.wait_blocking(Duration::from_millis(20)).is_err());
    // Handles are clones, and whichever is dropped changes nothing.
    drop(endless.clone());
    assert!(endless.is_running());
    let waiter = tokio::spawn({
        let endless = endless.clone();
        async move { endless.wait(PATIENCE).await }
    });
    endless.signal(Signal::TERM)?;
    assert_eq!(waiter.await??.signal(), Some(Signal::TERM.number()));
    Ok(())
}

/// All that a program wrote before its end is in the log when the end is known, however much it is.
#[netlab::test(topology = "node a")]
async fn the_last_words_are_heard(a: Node) -> netlab::Result {
    for _ in 0..20 {
        let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo last; exit 3";
        let program = sh(&a, script).start().await?;
        // The end is looked for here as well, and may be found before all was read.
        while program.status().is_none() {
            std::thread::yield_now();
        }
        let error = program.wait_success(PATIENCE).await.unwrap_err();
        assert_eq!(error.last_lines().last().map(String::as_str), Some("last"));
        assert_eq!(program.log()?.lines().count(), 2001);
    }
    Ok(())
}

/// A lab within a test ends with its handles, and its programs with it.
#[netlab::test(topology = "node a")]
async fn programs_end_with_their_lab() -> netlab::Result {
    let plan = Topology::parse("node inner", "test")?.plan()?;
    let lab = Lab::build(plan)?;
    let inner = lab.node("inner")?;
    let program = sh(&inner, WITH_CHILD).ready_when(ready::log("^child")).start().await?;
    let child = number_after(&program, "child");
    let (pid, log) = (program.pid(), program.log_path());
    assert!(log.exists());
    drop((lab, inner, program));
    for pid in [pid, child] {
        wait_for_state(pid, "Z-");
    }
    Ok(())
}

/// Neither of these is a death that nobody asked for, or this test would fail.
#[netlab::test(topology = "node a")]
async fn ends_that_are_in_order(a: Node) -> netlab::Result {
    sh(&a, "exit 1").may_exit().start().await?;
    let looked_at = sh(&a, "exit 1").start().await?;
    while looked_at.status().is_none() {
        tokio::task::yield_now().await;
    }
    let waited_for = sh(&a, "exit 1").start().await?;
    wait_for_state(waited_for.pid(), "Z");
    waited_for.wait(PATIENCE).await?;
    // Dropped, it runs on, and ends with the test.
    drop(sh(&a, "exec sleep 1000").start().await?);
    Ok(())
}
