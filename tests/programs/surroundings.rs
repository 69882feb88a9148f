//! What a program finds: environment, user, limits, files; and where what it writes goes.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use netlab::prelude::*;
use netlab::{Limit, ProgramErrorKind, Signal};

use crate::{PATIENCE, sh};

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn what_it_writes_is_in_its_log_whole_line_by_whole_line(a: Node, b: Node) -> netlab::Result {
    let script = "echo one; echo two >&2; printf 'thr'; echo 'in between' >&2; echo ee; printf 'no end'";
    let first = sh(&a, script).start().await?;
    assert!(first.wait(PATIENCE).await?.success());
    let log = first.log()?;
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["in between", "no end", "one", "three", "two"]);
    assert_eq!(log, fs::read_to_string(first.log_path())?);
    // Others of the name, in the node and elsewhere, have their own.
    let second = sh(&a, "echo second").start().await?;
    let named = sh(&a, "echo named").name("app").start().await?;
    let other = sh(&b, "echo other").start_blocking()?;
    assert_eq!(
        [&first, &second, &named, &other].map(|process| (process.node().name(), process.name())),
        [("a", "sh"), ("a", "sh-2"), ("a", "app"), ("b", "sh")]
    );
    for (process, said) in [(&second, "second\n"), (&named, "named\n"), (&other, "other\n")] {
        process.wait_success(PATIENCE).await?;
        assert_eq!(process.log()?, said);
    }
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan")]
async fn it_is_told_where_it_is(lab: Lab, a: Node) -> netlab::Result {
    let script = "echo $NETLAB_NODE $NETLAB_LAB_DIR $NETLAB_NODE_DIR $MINE; pwd; uname -n";
    let dir = a.dir()?;
    let program = sh(&a, script).env("MINE", "set").current_dir(&dir).start().await?;
    program.wait_success(PATIENCE).await?;
    let lab_host = lab.host();
    let (lab, dir) = (lab.dir()?.display().to_string(), dir.display().to_string());
    assert_eq!(program.log()?, format!("a {lab} {dir} set\n{dir}\na\n"));
    // However it is started, and unless the test says otherwise.
    let output = sh(&a, "echo $NETLAB_NODE $NETLAB_LAB_DIR").env("NETLAB_NODE", "other").output().await?;
    assert_eq!(String::from_utf8(output.stdout)?, format!("other {lab}\n"));
    let output = sh(&lab_host, "echo $NETLAB_NODE $NETLAB_NODE_DIR; uname -n").output().await?;
    let host_dir = lab_host.dir()?.display().to_string();
    assert_eq!(String::from_utf8(output.stdout)?, format!("host {host_dir}\nhost\n"));
    // Started from a thread of another node, too.
    let program = a.enter(|| sh(&lab_host, "uname -n; ls $NETLAB_LAB_DIR").start_blocking())?;
    program.wait_success(PATIENCE).await?;
    assert_eq!(program.log()?, "host\nlogs\nnodes\nrun\n");
    Ok(())
}

/// Run again by `it_heeds_signals_that_the_tests_ignore`.
#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan")]
async fn it_heeds_signals(a: Node) -> netlab::Result {
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM] {
        // A shell can trap nothing that it was started to ignore.
        let script = format!("trap 'echo heard; exit 7' {}; echo ready; sleep 600 & wait", signal.number());
        let program = sh(&a, &script).ready_when(ready::log("^ready$")).may_exit().start().await?;
        program.signal(signal)?;
        assert_eq!(program.wait(PATIENCE).await?.code(), Some(7), "{signal}");
        let sleeps = a.command("sleep").arg("600").may_exit().start().await?;
        sleeps.signal(signal)?;
        assert_eq!(sleeps.wait(PATIENCE).await?.signal(), Some(signal.number()), "{signal}");
    }
    Ok(())
}

#[netlab::test]
fn it_heeds_signals_that_the_tests_ignore() -> netlab::Result {
    let output = Command::new("sh")
        .args(["-c", "trap '' INT QUIT HUP; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe()?)
        .args(["--exact", "surroundings::it_heeds_signals", "--no-capture"])
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan")]
async fn it_has_what_it_is_allowed(a: Node) -> netlab::Result {
    let limited =
        sh(&a, "ulimit -n; ulimit -c").limit(Limit::OpenFiles, 64).limit(Limit::CoreSize, 0).start().await?;
    limited.wait_success(PATIENCE).await?;
    assert_eq!(limited.log()?, "64\n0\n");
    let output = sh(&a, "ulimit -n").limit(Limit::OpenFiles, 63).output().await?;
    assert_eq!(output.stdout, b"63\n");
    for (limit, most, line) in [
        (Limit::OpenFiles, 64, "Max open files"),
        (Limit::Memory, 1 << 30, "Max address space"),
        (Limit::CpuSeconds, 100, "Max cpu time"),
        (Limit::FileSize, 1 << 20, "Max file size"),
        (Limit::CoreSize, 0, "Max core file size"),
        (Limit::Stack, 1 << 20, "Max stack size"),
        (Limit::Processes, 1000, "Max processes"),
        (Limit::LockedMemory, 4096, "Max locked memory"),
    ] {
        let output = a.command("cat").arg("/proc/self/limits").limit(limit, most).output().await?;
        let text = String::from_utf8(output.stdout)?;
        let found = text.lines().find_map(|text| text.strip_prefix(line)).expect("there is such a limit");
        let values: Vec<_> = found.split_whitespace().take(2).collect();
        assert_eq!(values, [most.to_string(), most.to_string()], "{limit:?}, soft and hard");
    }

    let started = sh(&a, "id -u; echo mine > $NETLAB_NODE_DIR/file").run_as("nobody").start().await;
    match started {
        Ok(program) => {
            program.wait_success(PATIENCE).await?;
            assert_eq!(program.log()?, "65534\n");
        }
        // An ordinary user without a range of others.
        Err(error) => {
            assert_eq!(error.kind(), &ProgramErrorKind::NotStarted);
            assert!(
                format!("{error:#}").contains("has no user 65534: only one user is mapped here"),
                "{error:#}"
            );
        }
    }
    let error = sh(&a, "true").run_as("nobody-of-that-name").start().await.unwrap_err();
    assert!(format!("{error:#}").contains("there is no user `nobody-of-that-name`"), "{error:#}");
    Ok(())
}

#[netlab::test(topology = "node a")]
fn what_is_taken_away_and_what_goes_elsewhere(a: Node) -> netlab::Result {
    let variables = |command: netlab::Command| -> netlab::Result<Vec<String>> {
        let output = command.output_blocking()?;
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    };
    let env = || a.command("/usr/bin/env").env("MINE", "set");
    let has_path = |lines: &[String]| lines.iter().any(|line| line.starts_with("PATH="));
    assert!(has_path(&variables(env())?));
    let without = variables(env().env_remove("PATH").env_remove("MINE"))?;
    assert!(!has_path(&without) && !without.contains(&"MINE=set".to_owned()), "{without:?}");

    // A stream that is set is not logged.
    let file = a.dir()?.join("out");
    let script = "echo to the file; echo to the log >&2";
    let program = sh(&a, script).stdout(fs::File::create(&file)?).start_blocking()?;
    program.wait_success_blocking(PATIENCE)?;
    assert_eq!(
        (fs::read_to_string(&file)?.as_str(), program.log()?.as_str()),
        ("to the file\n", "to the log\n")
    );
    let program = sh(&a, script).stderr(fs::File::create(&file)?).start_blocking()?;
    program.wait_success_blocking(PATIENCE)?;
    assert_eq!(
        (fs::read_to_string(&file)?.as_str(), program.log()?.as_str()),
        ("to the log\n", "to the file\n")
    );
    assert!(sh(&a, "exit 3").start_blocking()?.wait_success_blocking(PATIENCE).is_err());
    Ok(())
}

/// In a sandbox of one user, as of an ordinary user without a range of others, a daemon that drops its privileges fails in its own
/// words, and the error has netlab's behind them.
#[netlab::test(topology = "node a")]
async fn who_cannot_become_another_user_is_told_what_mends_it(a: Node) -> netlab::Result {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let of_one = map.split_ascii_whitespace().last() == Some("1");
    let told = |error: netlab::ProgramError| error.to_string().contains("\n  hint: it speaks of `");
    let words = "setgid(33) failed (22: Invalid argument)";
    let says = |words: &str, status| sh(&a, &format!("echo '{words}' >&2; exit {status}"));
    assert_eq!(told(says(words, 1).ready_when(ready::port(80)).start().await.unwrap_err()), of_one);
    let failed = says(words, 1).start().await?;
    let error = failed.wait_success(PATIENCE).await.unwrap_err();
    assert_eq!(error.last_lines(), [words]);
    assert_eq!(told(error), of_one);
    // What ends well, or fails by something else, has no such trouble.
    assert!(!told(says(words, 0).ready_when(ready::port(80)).start().await.unwrap_err()));
    assert!(!told(says("out of memory", 1).ready_when(ready::port(80)).start().await.unwrap_err()));

    // The words of a program that is everywhere.
    let file = a.file("file", "")?;
    let chown = a.command("chown").arg("7").arg(file).start().await?;
    assert_eq!(chown.wait(PATIENCE).await?.success(), !of_one);
    assert_eq!(chown.wait_success(PATIENCE).await.is_err_and(told), of_one);
    Ok(())
}

#[netlab::test(topology = "
    net  lan  10.0.0.0/24 fd00::/64
    net  back 10.1.0.0/24
    node lb   lan=.1 back=.1
    node web[2] back=.11
")]
fn files_are_filled_in(lab: Lab, lb: Node, web: [Node; 2]) -> netlab::Result {
    let text = "listen {node.addr}:80; # {node.name}
server { upstream {web1.addr}, {web2.addr4.back}; }
{lb.addr6} {node.addr.back} {lan.subnet} {lan.subnet6} {{kept.as}} ${shell.like} {}
{node.dir} {web1.dir} {lab.dir} {lab.name}";
    let path = lb.file("lb.conf", text)?;
    assert_eq!(path, lb.dir()?.join("lb.conf"));
    let dirs = [lb.dir()?, web[0].dir()?, lab.dir()?].map(|dir| dir.display().to_string()).join(" ");
    let expected = format!(
        "listen 10.0.0.1:80; # lb
server {{ upstream 10.1.0.11, 10.1.0.12; }}
fd00::1 10.1.0.1 10.0.0.0/24 fd00::/64 {{kept.as}} ${{shell.like}} {{}}
{dirs} {}",
        lab.name()
    );
    assert_eq!(fs::read_to_string(&path)?, expected);
    // Programs of every node see it, and this one's process is the sandbox's: nobody else does.
    let output = web[0].command("cat").arg(&path).output_blocking()?;
    assert_eq!(String::from_utf8(output.stdout)?, expected);
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = lab.dir()?.parent().expect("it is on a mount").display().to_string();
    assert!(
        mounts.lines().any(|line| line.contains(&format!(" {mount} ")) && line.contains(" - tmpfs ")),
        "{mounts}"
    );
    Ok(())
}

/// As the configurations of HAProxy and nginx list their servers.
#[netlab::test(topology = "
    net  lan  10.0.0.0/24 fd00::/64
    net  back 10.1.0.0/24
    node lb   lan=.1 back=.1
    node web[3] back=.11
    node db[1]  back=.21
")]
fn a_line_is_repeated_for_each_node_of_an_array(lb: Node) -> netlab::Result {
    let text = "\
backend app
    server {web[*].name} {web[*].addr}:80 check  # of {node.name}
    server {db[*].name} {db[*].addr.back}:80 backup
upstream app {
    server {web[*].addr4.back}:80; }
{{web[*].addr}} ${web[*].addr}
last {web[*].name}";
    let expected = "\
backend app
    server web1 10.1.0.11:80 check  # of lb
    server web2 10.1.0.12:80 check  # of lb
    server web3 10.1.0.13:80 check  # of lb
    server db1 10.1.0.21:80 backup
upstream app {
    server 10.1.0.11:80; }
    server 10.1.0.12:80; }
    server 10.1.0.13:80; }
{web[*].addr} ${web[*].addr}
last web1
last web2
last web3";
    assert_eq!(fs::read_to_string(lb.file("lb.conf", text)?)?, expected);

    let wrong = "{web[*].adr}\n{wed[*].addr} {web[*].name}\n{web.addr}\n{web[*].name} {db[*].name}\n{wed[*].addr}\n{web[*].addr6}";
    let error = lb.file("x", wrong).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "node `lb`: file `x`: line 1: `{web[*].adr}`: `adr` is nothing of a node; words here: name, addr, addr4, addr6, dir (did \
             you mean `addr`?), and `addr.NET` and the like",
            "line 2: it cannot be repeated for several arrays at once: `wed`, `web`",
            "line 3: `{web.addr}`: `web` is an array of nodes: `{web1...}` is one, `{web[*]...}` repeats the line for each",
            "line 4: it cannot be repeated for several arrays at once: `web`, `db`",
            "line 5: `{wed[*]..}`: no array of nodes is called `wed`; arrays here: web, db (did you mean `web`?)",
            "line 6: `{web[*].addr6}`: node `web1` has no IPv6 address",
            "line 6: `{web[*].addr6}`: node `web2` has no IPv6 address",
            "line 6: `{web[*].addr6}`: node `web3` has no IPv6 address",
        ]
    );
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node web[2] lan; node alone")]
fn a_placeholder_that_means_nothing_is_an_error_that_says_what_there_is(
    web: [Node; 2],
    alone: Node,
) -> netlab::Result {
    let wrong = "ok {node.addr}\n{web3.addr} {node.adr}\n{node.addr6} {web2.addr.wan} {lan.subnet6} {lab.x}";
    let error = web[0].file("app.conf", wrong).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "node `web1`: file `app.conf`: line 2: `{web3.addr}`: nothing is called `web3`; names here: node, lab, host, web1, \
             web2, alone, lan (did you mean `web1`?)",
            "line 2: `{node.adr}`: `adr` is nothing of a node; words here: name, addr, addr4, addr6, dir (did you mean `addr`?), \
             and `addr.NET` and the like",
            "line 3: `{node.addr6}`: node `web1` has no IPv6 address",
            "line 3: `{web2.addr.wan}`: node `web2` has no address on a net `wan`; its nets: lan",
            "line 3: `{lan.subnet6}`: the net has no IPv6 subnet",
            "line 3: `{lab.x}`: `x` is nothing of the lab; words here: name, dir",
        ]
    );
    assert!(!web[0].dir()?.join("app.conf").exists());
    let error = alone.file("x", "{node.addr}").unwrap_err().to_string();
    assert_eq!(error, "node `alone`: file `x`: line 1: `{node.addr}`: node `alone` has no address");
    Ok(())
}

#[netlab::test(topology = "node a")]
async fn what_does_not_start_says_why(a: Node) -> netlab::Result {
    let error = a.command("/no-such-program").arg("-x").start().await.unwrap_err();
    assert_eq!(error.kind(), &ProgramErrorKind::NotStarted);
    assert_eq!(
        format!("{error:#}"),
        "node `a`: `/no-such-program -x` could not be started: no such file or directory (os error 2)"
    );
    let error = a.command("true").ready_when(ready::port(80)).status().await.unwrap_err().to_string();
    assert!(
        error.contains("`ready_when` and `listen` are for a program that is started by `start`"),
        "{error}"
    );
    let error = a.command("true").ready_when(ready::log("(")).start_blocking().unwrap_err();
    assert!(format!("{error:#}").contains("`(` is no regular expression"), "{error:#}");
    Ok(())
}
