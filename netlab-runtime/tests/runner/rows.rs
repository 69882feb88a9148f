//! What must come out for each fixture, as root and as an ordinary user.

use std::io::{BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::holder::SOCKET;
use crate::subject::{Ran, User, elsewhere, fixture, run, without_namespaces};
use crate::underway::Underway;

type Row = (&'static str, fn(User));

const ROWS: &[Row] = &[
    ("a_passing_test_passes", passing),
    ("a_failed_assertion_is_told_with_its_place", failed_assertion),
    ("a_panic_in_a_thread_is_not_the_tests", panic_in_thread),
    ("a_panic_handed_on_keeps_its_place", panic_handed_on),
    ("a_returned_error_is_told", returned_error),
    ("exit_is_a_failure_whatever_the_code", exits),
    ("an_abort_is_told_with_a_backtrace", abort),
    ("a_segmentation_fault_is_told_with_a_backtrace", segfault),
    ("a_stack_overflow_is_told", stack_overflow),
    ("a_kill_is_told", killed),
    ("a_timeout_kills_and_shows_the_last_words", timeout),
    ("timeouts_come_from_the_environment_too", timeout_settings),
    ("all_output_is_captured_in_order", output),
    ("much_output_is_cut_in_the_middle", much_output),
    ("nocapture_is_live", nocapture),
    ("show_output_shows_what_passed", show_output),
    ("should_panic_is_as_in_libtest", should_panic),
    ("ignored_tests_say_why", ignored),
    ("the_list_is_names_and_nothing_else", list),
    ("filters_add_up", filters),
    ("unknown_arguments_are_errors", unknown_argument),
    ("wrong_settings_are_errors", wrong_setting),
    ("a_sandbox_is_a_machine_of_its_own", own_machine),
    ("a_copy_by_fork_reports_nothing", fork),
    ("daemons_die_with_their_test", daemon),
    ("nothing_survives_the_runners_sigkill", sigkill),
    ("nothing_survives_ctrl_c", interrupt),
    ("each_signal_ends_the_run_and_is_what_it_dies_of", each_signal),
    ("a_signal_that_is_ignored_stays_so", ignored_signal),
    ("a_second_signal_kills_at_once", second_signal),
    ("what_survives_is_named_with_its_keeper", survivor),
    ("serial_groups_run_one_at_a_time", serial),
    ("who_waits_for_its_group_says_so", waiting),
    ("who_waits_takes_no_thread_of_others", lanes),
    ("a_masked_proc_and_sys_are_done_without", masked),
    ("missing_and_dangling_files_in_etc_are_no_obstacle", missing_files),
    ("no_user_namespaces_is_ignored_with_the_remedy", no_user_namespaces),
    ("no_network_namespaces_is_ignored_with_the_remedy", no_network_namespaces),
];

pub fn trials() -> Vec<Trial> {
    let row = |user: User, (name, row): Row| {
        let who = if user == User::Oneself && nix::unistd::geteuid().is_root() { "root" } else { "user" };
        Trial::test(format!("{who}::{name}"), move || {
            row(user);
            Ok(())
        })
    };
    User::all().into_iter().flat_map(|user| ROWS.iter().map(move |&it| row(user, it))).collect()
}

/// Runs one fixture by its name.
fn one(user: User, name: &str) -> Ran {
    run(fixture(user, "plain", &[&format!("fixtures::{name}"), "--exact"]))
}

fn with(user: User, name: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = fixture(user, "plain", &[&format!("fixtures::{name}"), "--exact"]);
    command.envs(variables.iter().copied());
    run(command)
}

fn passing(user: User) {
    one(user, "passes")
        .code(0)
        .says("test fixtures::passes ... ok")
        .says("1 passed; 0 failed")
        .does_not_say("said by");
}

fn failed_assertion(user: User) {
    one(user, "fails_an_assertion")
        .code(101)
        .says("test fixtures::fails_an_assertion ... FAILED")
        .says("---- fixtures::fails_an_assertion ----\nsaid before\n")
        .says("assertion `left == right` failed: sums")
        .says("fixtures::_::body::fails_an_assertion")
        .does_not_say("netlab_runtime::")
        .says("netlab: panicked at netlab-runtime/tests/runner/fixtures.rs:")
        .says("0 passed; 1 failed");
}

fn panic_in_thread(user: User) {
    one(user, "panics_in_a_thread_and_passes").code(0);
}

fn panic_handed_on(user: User) {
    one(user, "panic_handed_on_from_a_thread")
        .code(101)
        .says("netlab: panicked at netlab-runtime/tests/runner/fixtures.rs:")
        .says(": handed on");
}

fn returned_error(user: User) {
    one(user, "returns_an_error")
        .code(101)
        .says("netlab: returned an error: Custom")
        .does_not_say("panicked");
}

fn exits(user: User) {
    one(user, "exits_zero").code(101).says("netlab: exited with code 0 before it returned");
    one(user, "exits_three").code(101).says("netlab: exited with code 3 before it returned");
}

fn abort(user: User) {
    one(user, "aborts")
        .code(101)
        .says("signal SIGABRT (abort)\nstack backtrace:\n")
        .says("fixtures::_::body::aborts")
        .says("netlab: killed by SIGABRT (abort");
}

fn segfault(user: User) {
    one(user, "segfaults")
        .code(101)
        .says("signal SIGSEGV (segmentation fault) at address 0x18\nstack backtrace:\n")
        // With its path, if debug information is whole.
        .says("segfault\n             at ")
        .says("tests/runner/fixtures.rs:")
        .does_not_say("on_crash")
        .says("netlab: killed by SIGSEGV (segmentation fault");
    one(user, "segfaults_in_a_thread").code(101).says("signal SIGSEGV").says("netlab: killed by SIGSEGV");
    with(user, "segfaults", &[("RUST_BACKTRACE", "0")])
        .code(101)
        .says("SIGSEGV")
        .does_not_say("stack backtrace");
}

fn stack_overflow(user: User) {
    one(user, "overflows_the_stack")
        .code(101)
        .says("has overflowed its stack")
        .says("fixtures::overflow")
        .says("netlab: killed by SIGABRT");
}

fn killed(user: User) {
    one(user, "kills_itself").code(101).says("netlab: killed by SIGKILL (killed)");
}

fn timeout(user: User) {
    for name in ["hangs_blocking", "hangs_async"] {
        one(user, name)
            .code(101)
            .says("last words\n\nnetlab: timed out after 3s (the `timeout` of the test)");
    }
}

fn timeout_settings(user: User) {
    with(user, "hangs_async", &[("NETLAB_TIMEOUT_SCALE", "0.5")])
        .code(101)
        .says("timed out after 1.5s (the `timeout` of the test, scaled by NETLAB_TIMEOUT_SCALE=0.5)");
    with(user, "leaves_a_daemon_and_waits", &[("NETLAB_TIMEOUT", "300ms")])
        .code(101)
        .says("timed out after 300ms (NETLAB_TIMEOUT)");
}

fn output(user: User) {
    one(user, "writes_from_everywhere").code(101).says(
        "---- fixtures::writes_from_everywhere ----\nwithout a newline, child to stdout\nchild to stderr\n\
         thread to stdout\nstderr\n",
    ).says("the end");
}

fn much_output(user: User) {
    let ran = one(user, "writes_much");
    ran.code(101).says("bytes left out").says("netlab: panicked at").says("after 64 MiB");
    assert!(ran.out.len() < 16 << 20, "{}", ran.out.len());
}

fn nocapture(user: User) {
    for argument in ["--nocapture", "--no-capture"] {
        let ran = run(fixture(user, "plain", &["fixtures::fails_an_assertion", "--exact", argument]));
        ran.code(101)
            .says("---- fixtures::fails_an_assertion ----\nnetlab: panicked at")
            .does_not_say("said before");
        assert!(ran.err.contains("said before"), "{ran}");
    }
    run(fixture(user, "live", &["fixtures::passes"])).code(0).says("said by `passes`");
}

fn show_output(user: User) {
    run(fixture(user, "plain", &["fixtures::passes", "--show-output", "--report-time"]))
        .code(0)
        .says("---- fixtures::passes stdout ----\nsaid by `passes`\n")
        .says("times:\n");
}

fn should_panic(user: User) {
    for name in ["should_panic_and_does", "should_panic_with_these_words"] {
        one(user, name).code(0).says("1 passed");
    }
    one(user, "should_panic_with_other_words")
        .code(101)
        .says("netlab: panic did not contain expected string");
    one(user, "should_panic_and_does_not").code(101).says("test did not panic as expected");
    one(user, "should_panic_and_exits").code(101).says("exited with code 101 before it returned");
}

fn ignored(user: User) {
    run(fixture(user, "plain", &["ignored"]))
        .code(0)
        .says("fixtures::ignored_with_a_reason ... ignored (for a reason)\n")
        .says("fixtures::ignored               ... ignored\n")
        .says("0 passed; 0 failed; 2 ignored");
    run(fixture(user, "plain", &["ignored", "--ignored"])).code(0).says("2 passed; 0 failed; 0 ignored");
    run(fixture(user, "plain", &["passes", "--ignored"])).code(0).says("running 0 tests");
    run(fixture(user, "plain", &["ignored_with", "passes", "--include-ignored", "--skip", "thread"]))
        .code(0)
        .says("2 passed; 0 failed; 0 ignored");
}

fn list(user: User) {
    let listed = run(fixture(user, "plain", &["--list", "--format", "terse"]));
    listed.code(0).says("fixtures::passes: test\n").says("fixtures::ignored: test\n");
    assert!(listed.out.lines().all(|line| line.ends_with(": test")), "{listed}");
    assert!(listed.out.lines().is_sorted(), "{listed}");
    assert_eq!(listed.err, "");
    let ignored = run(fixture(user, "plain", &["--list", "--format", "terse", "--ignored"]));
    assert_eq!(ignored.out, "fixtures::ignored: test\nfixtures::ignored_with_a_reason: test\n");
    // Where nothing could run, everything can be listed.
    let denied = run(without_namespaces(
        fixture(user, "plain", &["--list", "--format", "terse"]),
        "max_user_namespaces",
    ));
    assert_eq!(denied.out, listed.out);
}

fn filters(user: User) {
    run(fixture(
        user,
        "plain",
        &["fixtures::passes", "should_panic_and_does", "--skip", "not", "--test-threads=1"],
    ))
    .code(0)
    .says("running 2 tests\n")
    .says("2 passed");
    run(fixture(user, "plain", &["passes", "-q"])).code(0).says("..");
    let mut command = fixture(user, "plain", &["passes", "--format=json", "-Zunstable-options"]);
    command.env("RUST_TEST_THREADS", "1");
    run(command).code(0).says(r#""name": "fixtures::passes", "event": "ok""#);
    run(fixture(user, "plain", &["no_such_test"])).code(0).says("running 0 tests");
}

fn unknown_argument(user: User) {
    let ran = run(fixture(user, "plain", &["--nocaptur"]));
    ran.code(101);
    assert!(ran.err.contains("unexpected argument '--nocaptur'"), "{ran}");
    run(fixture(user, "plain", &["--help"])).code(0).says("--test-threads <N>");
}

fn wrong_setting(user: User) {
    let ran = with(user, "passes", &[("NETLAB_TIMEOUT", "soon"), ("RUST_TEST_THREADS", "0")]);
    ran.code(101).does_not_say("running");
    assert!(ran.err.contains("NETLAB_TIMEOUT: `soon` is not a duration"), "{ran}");
    assert!(ran.err.contains("RUST_TEST_THREADS: `0` is not a number of threads"), "{ran}");
}

fn own_machine(user: User) {
    one(user, "sees_its_own_machine").code(0);
    one(user, "children_inherit_nothing").code(0);
}

fn fork(user: User) {
    one(user, "forks_a_copy_of_itself").code(101).says("the parent's end");
}

fn daemon(user: User) {
    // Its output pipe would not end if the daemon, which holds it, were alive.
    one(user, "leaves_a_daemon").code(0);
}

/// Processes of a run whose test has left a daemon: runner, init, worker, daemon.
const WITH_A_DAEMON: usize = 4;

fn sigkill(user: User) {
    let arguments = ["fixtures::leaves_a_daemon_and_waits", "--exact", "--nocapture"];
    let mut underway = Underway::start(fixture(user, "plain", &arguments), "waiting");
    let processes = underway.processes(WITH_A_DAEMON);
    kill(Pid::from_raw(underway.child.id().cast_signed()), Signal::SIGKILL).unwrap();
    assert_eq!(underway.child.wait().unwrap().signal(), Some(libc::SIGKILL));
    Underway::all_end(&processes);
}

fn interrupt(user: User) {
    let arguments = ["fixtures::leaves_a_daemon_and_waits", "--exact", "--nocapture"];
    let mut underway = Underway::start(fixture(user, "plain", &arguments), "waiting");
    let processes = underway.processes(WITH_A_DAEMON);
    killpg(Pid::from_raw(underway.child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(underway.child.wait().unwrap().signal(), Some(libc::SIGINT));
    Underway::all_end(&processes);
    let (out, err) = underway.rest();
    assert!(
        err.contains(
            "netlab: ended by SIGINT; 1 test was running\n    `fixtures::leaves_a_daemon_and_waits`, for "
        ),
        "{err}"
    );
    assert!(!out.contains("FAILED") && !out.contains("killed by"), "no result is told: {out}");
}

fn each_signal(user: User) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let arguments = ["fixtures::waits_alone", "fixtures::leaves_a_daemon_and_waits", "--nocapture"];
        let mut underway = Underway::start(fixture(user, "plain", &arguments), "waiting");
        let processes = underway.processes(WITH_A_DAEMON);
        kill(Pid::from_raw(underway.child.id().cast_signed()), signal).unwrap();
        assert_eq!(underway.child.wait().unwrap().signal(), Some(signal as i32));
        Underway::all_end(&processes);
        let (_, err) = underway.rest();
        assert!(err.contains(&format!("netlab: ended by {signal}; ")), "{err}");
    }
}

fn ignored_signal(user: User) {
    let mut command =
        fixture(user, "plain", &["fixtures::leaves_a_daemon_and_waits", "--exact", "--nocapture"]);
    // As nohup(1) does.
    let ignore = || {
        // SAFETY: no handler is involved.
        unsafe { nix::sys::signal::signal(Signal::SIGHUP, nix::sys::signal::SigHandler::SigIgn) }?;
        Ok(())
    };
    // SAFETY: the closure makes one async-signal-safe call.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, ignore) };
    let mut underway = Underway::start(command, "waiting");
    let processes = underway.processes(WITH_A_DAEMON);
    let runner = Pid::from_raw(underway.child.id().cast_signed());
    kill(runner, Signal::SIGHUP).unwrap();
    kill(runner, Signal::SIGTERM).unwrap();
    assert_eq!(underway.child.wait().unwrap().signal(), Some(libc::SIGTERM));
    Underway::all_end(&processes);
    let (_, err) = underway.rest();
    assert!(err.contains("netlab: ended by SIGTERM"), "{err}");
}

/// A sandbox whose end the runner cannot see, because init is traced: the runner waits for it, until it is told again.
fn second_signal(user: User) {
    let arguments = ["fixtures::leaves_a_daemon_and_waits", "--exact", "--nocapture"];
    let mut underway = Underway::start(fixture(user, "plain", &arguments), "waiting");
    let processes = underway.processes(WITH_A_DAEMON);
    let runner = Pid::from_raw(underway.child.id().cast_signed());
    let is_init = |pid: i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "netlab-init")
    };
    let init =
        processes.iter().map(|(pid, _)| *pid).find(|&pid| is_init(pid)).expect("a sandbox has an init");
    let init = Pid::from_raw(init);
    nix::sys::ptrace::seize(init, nix::sys::ptrace::Options::empty()).unwrap();

    kill(runner, Signal::SIGINT).unwrap();
    underway.says_on_stderr("netlab: ended by SIGINT");
    // The same event told twice is one event.
    kill(runner, Signal::SIGTERM).unwrap();
    let (_, pidfd) = processes.iter().find(|(pid, _)| *pid == runner.as_raw()).unwrap();
    assert!(!Underway::ends_within(pidfd, 200), "the runner waits for its sandbox");
    kill(runner, Signal::SIGTERM).unwrap();
    assert_eq!(underway.child.wait().unwrap().signal(), Some(libc::SIGTERM));

    nix::sys::wait::waitpid(init, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap();
    Underway::all_end(&processes);
}

/// Runs a fixture that hands something of its sandbox to a process outside.
fn with_a_holder(user: User, name: &str) -> Ran {
    let folder = std::env::temp_dir().join(format!("netlab-holder-{}-{user:?}-{name}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let socket = folder.join("socket");
    let mut holder = fixture(user, "holder", &[]);
    holder.env(SOCKET, &socket).stdin(Stdio::piped());
    let mut holder = Underway::start(holder, "listening");
    let ran = with(user, name, &[(SOCKET, socket.to_str().unwrap())]);
    drop(holder.child.stdin.take());
    assert!(holder.child.wait().unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
    ran
}

fn survivor(user: User) {
    with_a_holder(user, "leaks_its_network")
        .code(101)
        .says("netlab: left something behind:\n    the network of node `host` (net:[")
        .says("is kept by process ")
        .says("whose descriptor ");
    with_a_holder(user, "leaks_its_mounts_and_fails")
        .code(101)
        .says("netlab: panicked at ")
        .says("left something behind:\n    its mounts (mnt:[");
}

fn serial(user: User) {
    let command = || fixture(user, "plain", &["alone_in_its_group", "--test-threads=3"]);
    std::thread::scope(|scope| {
        let runs = [scope.spawn(|| run(command())), scope.spawn(|| run(command()))];
        for ran in runs {
            ran.join().unwrap().code(0).says("3 passed");
        }
    });
}

/// Takes a group's lock in this process, for a socket is all that a lock is.
fn hold(group: &str) -> UnixListener {
    let address = SocketAddr::from_abstract_name(format!("netlab/serial/{group}")).unwrap();
    loop {
        match UnixListener::bind_addr(&address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => std::thread::yield_now(),
            bound => return bound.unwrap(),
        }
    }
}

fn waiting(user: User) {
    let holder = hold("held by the rows");
    let mut command = fixture(user, "plain", &["fixtures::waits_for_the_rows", "--exact", "--nocapture"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(
        line.contains("`fixtures::waits_for_the_rows` waits for a test of `serial = \"held by the rows\"`"),
        "{line}"
    );
    assert!(child.try_wait().unwrap().is_none());
    drop(holder);
    assert!(child.wait().unwrap().success());
}

/// Two tests wait, two threads are there, and the third test, last by name, is done before either.
fn lanes(user: User) {
    let holder = hold("held by the rows, two at once");
    let arguments = ["waits_in_a_lane", "works_beside_who_waits", "--test-threads=2"];
    let mut child = fixture(user, "plain", &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = out.lines().map(Result::unwrap).filter(|line| line.starts_with("test "));
        lines.for_each(|line| sender.send(line).unwrap());
    });
    // Were a thread taken by who waits, nothing would come before the group is let go.
    let first = lines.recv_timeout(Duration::from_secs(30)).unwrap_or_default();
    drop(holder);
    assert_eq!(first, "test fixtures::works_beside_who_waits ... ok");
    assert_eq!(lines.iter().filter(|line| line.starts_with("test fixtures::waits_in_a_lane_")).count(), 2);
    reader.join().unwrap();
    assert!(child.wait().unwrap().success());
}

/// Containers lay things over parts of `/proc` and `/sys`, and then fresh ones may not be mounted.
fn masked(user: User) {
    let mask = || {
        for path in ["/proc/version", "/sys/kernel/fscaps"] {
            mount(Some("/dev/null"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        Ok(())
    };
    let arguments = ["fixtures::passes", "--exact", "--show-output"];
    run(elsewhere(fixture(user, "plain", &arguments), mask))
        .code(0)
        .says("netlab: a fresh `/proc` cannot be had in this sandbox (Operation not permitted (os error 1));")
        .says("netlab: a fresh `/sys` cannot be had")
        .says("said by `passes`");
}

fn missing_files(user: User) {
    let empty = || {
        mount(Some("test"), "/etc", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        std::os::unix::fs::symlink("/nowhere/resolv.conf", "/etc/resolv.conf")
    };
    run(elsewhere(fixture(user, "plain", &["fixtures::knows_its_hosts", "--exact"]), empty)).code(0);
    let linked = || {
        mount(Some("test"), "/etc", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        std::fs::create_dir("/etc/real")?;
        for name in ["hosts", "resolv.conf", "nsswitch.conf"] {
            std::fs::write(format!("/etc/real/{name}"), "nameserver 192.0.2.1\nhosts: dns")?;
            std::os::unix::fs::symlink(format!("real/{name}"), format!("/etc/{name}"))?;
        }
        Ok(())
    };
    run(elsewhere(fixture(user, "plain", &["fixtures::knows_its_hosts", "--exact"]), linked)).code(0);
}

fn no_user_namespaces(user: User) {
    denied(user, "max_user_namespaces");
}

fn no_network_namespaces(user: User) {
    denied(user, "max_net_namespaces");
}

fn denied(user: User, limit: &'static str) {
    let denied = || without_namespaces(fixture(user, "plain", &["fixtures::passes", "--exact"]), limit);
    run(denied())
        .code(0)
        .says(&format!("ignored (this machine allows no namespaces (`user.{limit}` is 0)"))
        .says(&format!("`sudo sysctl -w user.{limit}=10000`"))
        .says("0 passed; 0 failed; 1 ignored")
        .says("netlab: 1 ignored: 1 cannot run here (this machine allows no namespaces");
    for strict in ["NETLAB_STRICT", "CI"] {
        let mut command = denied();
        command.env(strict, "1");
        run(command).code(101).says("cannot run here, and must").says("0 passed; 1 failed");
    }
}
