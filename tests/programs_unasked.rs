//! Programs that end while nobody asked them to, and what else their tests' output has of programs.
//!
//! This binary is both sides. Run by cargo it is the rows; a row runs it again with [`FIXTURE`] set, and then it is a binary of
//! netlab tests, most of which fail: that is their task.

#![expect(clippy::disallowed_methods, reason = "what is read here is no setting of netlab's")]

use std::env;
use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use netlab::prelude::*;

/// What makes this binary a fixture.
const FIXTURE: &str = "NETLAB_TESTS_UNASKED";

fn main() -> ExitCode {
    if env::var_os(FIXTURE).is_some() {
        return netlab::__private::main(false);
    }
    let trials = vec![
        Trial::test("an_unasked_death_fails_the_test", an_unasked_death_fails_the_test),
        Trial::test("a_death_at_the_very_end_counts", a_death_at_the_very_end_counts),
        Trial::test("a_death_by_another_signal_is_unasked", a_death_by_another_signal_is_unasked),
        Trial::test("a_failed_test_keeps_its_own_error", a_failed_test_keeps_its_own_error),
        Trial::test("output_has_who_wrote_it_and_whole_lines", output_has_who_wrote_it_and_whole_lines),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs one fixture, which is to fail, and gives what came of it.
fn failure_of(test: &str) -> Result<String, Failed> {
    let binary = env::current_exe().expect("this program's path");
    let output = Command::new(binary).args(["--exact", test]).env(FIXTURE, "1").output()?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let line = format!("test {test} ... FAILED");
    if !text.lines().any(|said| said.starts_with(&line)) {
        return Err(format!("no `{line}` in:\n{text}").into());
    }
    Ok(text)
}

fn has(text: &str, parts: &[&str]) -> Result<(), Failed> {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("no {part:?} in:\n{text}").into()),
    }
}

fn an_unasked_death_fails_the_test() -> Result<(), Failed> {
    let text = failure_of("fixtures::it_dies")?;
    let told = "netlab: node `web`: `sh -c echo about to die; exit 9` ended unasked (exit status: 9); unless the test waits for \
                it, that fails the test (`.may_exit()` allows it)";
    has(
        &text,
        &[
            "web sh | about to die\n",
            told,
            "returned an error: node `web`: `sh -c echo about to die; exit 9` has ended (exit status: 9)\n",
            "    | about to die\n",
            "nobody had asked it to: a program that may end by itself is started with `.may_exit()`, or waited for",
        ],
    )?;
    // At once, that is before the test went on.
    let (at, after) = (text.find(told), text.find("the test went on"));
    if at > after { Err(format!("it was told late:\n{text}").into()) } else { Ok(()) }
}

fn a_death_at_the_very_end_counts() -> Result<(), Failed> {
    has(&failure_of("fixtures::it_dies_at_the_end")?, &["ended unasked", "has ended (exit status: 5)"])
}

fn a_death_by_another_signal_is_unasked() -> Result<(), Failed> {
    has(&failure_of("fixtures::it_dies_of_a_hangup")?, &["ended unasked (signal: 1 (SIGHUP))"])
}

fn a_failed_test_keeps_its_own_error() -> Result<(), Failed> {
    has(
        &failure_of("fixtures::it_dies_and_the_test_fails")?,
        &["returned an error: of the test", "ended unasked"],
    )
}

fn output_has_who_wrote_it_and_whole_lines() -> Result<(), Failed> {
    let text = failure_of("fixtures::they_talk")?;
    let said = |prefix: &str| text.lines().filter(|line| *line == prefix).count();
    for (line, times) in [
        ("a sh | this is a line of a, in pieces", 200),
        ("b sh | this is a line of b, in pieces", 200),
        // It came after the last look, or has no end of line: the end of the test is the last chance.
        ("a late | said at the end", 1),
    ] {
        if said(line) != times {
            return Err(format!("{line:?} is there {} times, not {times}:\n{text}", said(line)).into());
        }
    }
    if text.contains("`sh -c read line` ended unasked") {
        return Err(format!("its end was waited for:\n{text}").into());
    }
    Ok(())
}

mod fixtures {
    use super::*;

    fn sh(node: &Node, script: &str) -> netlab::Command {
        node.command("sh").arg("-c").arg(script)
    }

    /// Waits until a process is a zombie without asking the handle, which would be to know of it.
    fn wait_for_death(pid: u32) {
        while !std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::yield_now();
        }
    }

    #[netlab::test(topology = "node web")]
    async fn it_dies(web: Node) -> netlab::Result {
        let program = sh(&web, "echo about to die; exit 9").start().await?;
        wait_for_death(program.pid());
        // A second program is noticed after the first: when that is done, the first was told of.
        sh(&web, "exit 0").start().await?.wait(Duration::from_secs(10)).await?;
        println!("the test went on");
        Ok(())
    }

    #[netlab::test(topology = "node web")]
    fn it_dies_at_the_end(web: Node) -> netlab::Result {
        wait_for_death(sh(&web, "exit 5").start_blocking()?.pid());
        Ok(())
    }

    #[netlab::test(topology = "node web")]
    async fn it_dies_of_a_hangup(web: Node) -> netlab::Result {
        let program = sh(&web, "exec sleep 1000").start().await?;
        program.signal(netlab::Signal::HUP)?;
        wait_for_death(program.pid());
        Ok(())
    }

    #[netlab::test(topology = "node web")]
    async fn it_dies_and_the_test_fails(web: Node) -> netlab::Result {
        wait_for_death(sh(&web, "exit 5").start().await?.pid());
        Err(netlab::Error::msg("of the test"))
    }

    #[netlab::test(topology = "node a; node b")]
    async fn they_talk(a: Node, b: Node) -> netlab::Result {
        let mut talkers = Vec::new();
        for node in [&a, &b] {
            let script = "i=0; while [ $i -lt 200 ]; do printf 'this is a '; printf 'line of %s, ' $NETLAB_NODE; echo in pieces
                i=$((i+1)); done";
            talkers.push(sh(node, script).start().await?);
        }
        for talker in talkers {
            talker.wait_success(Duration::from_secs(30)).await?;
        }
        let late = sh(
            &a,
            "trap 'exit 0' USR1; printf 'said '; printf 'at the end'; touch $NETLAB_NODE_DIR/said; sleep 1000",
        );
        let late = late.name("late").ready_when(ready::file(a.dir()?.join("said"))).start().await?;
        late.kill()?;
        // Whoever is waiting already is told of the end by that alone.
        let (theirs, ours) = std::io::pipe()?;
        let reader = sh(&a, "read line").stdin(theirs).start().await?;
        let (ended, ()) = tokio::join!(reader.wait(Duration::from_secs(10)), async { drop(ours) });
        assert!(!ended?.success());
        Err(netlab::Error::msg("so that its output is shown"))
    }
}
