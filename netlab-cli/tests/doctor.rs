//! `cargo netlab doctor` as a black box.

use std::process::{Command, Output};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_cargo-netlab");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it with none of the settings that this test may have been given.
fn netlab(arguments: &[&str], changed: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    for variable in [
        "CI",
        "NETLAB_STRICT",
        "NETLAB_TIMEOUT",
        "NETLAB_TIMEOUT_SCALE",
        "NETLAB_THREADS",
        "NETLAB_USERS",
        "NETLAB_LOG",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments).envs(changed.iter().copied()).output().expect("the program starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}:\n{}{}", text(&output.stdout), text(&output.stderr));
    })
}

/// The check of this name.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks are a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name:?} in {report:#}"))
}

#[test]
fn labs_run_where_the_tests_do() {
    let output = netlab(&["netlab", "doctor", "--json"], &[]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["labs_can_run"], true);
    for name in ["kernel", "a lab of two nodes", "ping"] {
        assert_eq!(check(&report, name)["state"], "ok", "{report:#}");
    }
    assert!(check(&report, "ping")["found"].as_str().is_some_and(|found| found.starts_with("answered in")));
    for name in [
        "nf_tables",
        "iptables",
        "netem",
        "tbf",
        "macvlan",
        "wireguard",
        "tun",
        "eBPF",
        "seccomp",
        "AppArmor",
    ] {
        let check = check(&report, name);
        assert!(check["why"].as_str().is_some_and(|why| !why.is_empty()), "{check:#}");
        assert_eq!(
            check["state"] == "missing",
            check["mend"].is_string(),
            "what is missing can be mended: {check:#}"
        );
    }
    for check in report["checks"].as_array().expect("checks are a list") {
        assert!(check["needed"] == false || check["state"] == "ok", "{check:#}");
    }
}

#[test]
fn the_text_has_a_verdict_and_no_colours_in_a_pipe() {
    let output = netlab(&["doctor"], &[]);
    let text = text(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    for line in ["Labs\n", "Firewall\n", "Limits\n", "\nLabs can run here"] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    // But for commands, which stay in one piece.
    for line in text.lines().filter(|line| !line.contains('`')) {
        assert!(line.chars().count() <= 80, "too wide: {line}");
    }
}

#[test]
fn colours_are_for_terminals_whose_owner_wants_them() {
    // It gives the program a terminal.
    let on_a_terminal = |no_color: &str| {
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &format!("{BINARY} doctor"), "/dev/null"])
            .env("NO_COLOR", no_color)
            .env("TERM", "xterm")
            .output();
        text(&output.expect("`script` of bsdutils, which every Debian has, starts").stdout)
    };
    let coloured = on_a_terminal("");
    assert!(coloured.contains("\x1b[32mok      \x1b[0m kernel"), "{coloured:?}");
    let plain = on_a_terminal("1");
    assert!(plain.contains("ok       kernel") && !plain.contains('\x1b'), "{plain:?}");
}

#[test]
fn where_no_namespace_is_allowed_it_says_so_and_what_mends_it() {
    // A user namespace has limits of its own, so that nobody else's change.
    let script = "echo 0 >/proc/sys/user/max_net_namespaces && exec \"$0\" doctor \"$@\"";
    let shut_out = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, BINARY]).args(arguments);
        command.output().expect("`unshare` of util-linux starts")
    };
    let output = shut_out(&["--json"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["labs_can_run"], false);
    let lab = check(&report, "a lab of two nodes");
    assert_eq!((&lab["state"], &lab["needed"]), (&"missing".into(), &true.into()));
    assert!(
        lab["found"].as_str().is_some_and(|found| found.contains("`user.max_net_namespaces` is 0")),
        "{lab:#}"
    );
    assert!(
        lab["mend"].as_str().is_some_and(|mend| mend.contains("sysctl -w user.max_net_namespaces=")),
        "{lab:#}"
    );
    let said = shut_out(&[]);
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stdout).contains("\nLabs cannot run here"), "{}", text(&said.stdout));
}

#[test]
fn settings_in_force_are_listed_and_judged() {
    let output = netlab(&["doctor", "--json"], &[("NETLAB_TIMEOUT_SCALE", "4"), ("NETLAB_THREADS", "many")]);
    let report = json(&output);
    assert_eq!(check(&report, "NETLAB_TIMEOUT_SCALE")["found"], "4");
    let wrong = check(&report, "NETLAB_THREADS");
    assert_eq!((&wrong["state"], &wrong["mend"]), (&"missing".into(), &"unset NETLAB_THREADS".into()));
    assert!(
        wrong["found"].as_str().is_some_and(|found| found.contains("`many` is not a number")),
        "{wrong:#}"
    );
    assert_eq!(output.status.code(), Some(1), "no test runs with such a setting");
}

#[test]
fn wrong_arguments_are_told_from_a_machine_that_cannot() {
    for arguments in [&["doctors"][..], &["doctor", "--yaml"], &[]] {
        let output = netlab(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage: cargo netlab"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    let help = netlab(&["netlab", "--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("doctor"), "{}", text(&help.stdout));
}
