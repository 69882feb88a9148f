//! What is not done, and why: the machine is as it was, since nothing was begun.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use netlab::prelude::*;

use crate::nested::{Underway, command, run, visit};
use crate::scratch::{self, Changes, Scratch};

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn what_is_refused_is_refused_before_any_change(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for (test, why) in [
        ("refused_the_default_route", "default route"),
        ("refused_a_missing_interface", "eth9"),
        ("refused_a_name_that_is_taken", "eth1"),
    ] {
        run(command(&[&format!("interfaces::{test}")]))?
            .failed()
            .says("the lab could not be built")
            .says(why);
        scratch.is_as_it_was();
    }
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn handles_leave_the_machine_alone(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    run(command(&["interfaces::handles_leave_the_machine_alone"]))?.passed();
    scratch.is_as_it_was();
    Ok(())
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn what_is_refused_in_the_middle_is_undone(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    for (test, what) in [
        ("fails_at_a_sysctl", "`sysctl -w net.ipv4.conf.all.rp_filter=none`"),
        ("fails_when_its_bridge_is_there", "`sysctl -w net.ipv4.conf.lan.rp_filter=none`"),
        ("fails_when_the_interface_is_moved", "`sysctl -w net.ipv4.conf.eth1.rp_filter=none`"),
        ("fails_when_the_interface_is_plugged", "`sysctl -w net.ipv4.conf.br1.rp_filter=none`"),
        ("fails_at_a_route", "`ip route add 172.31.0.0/16 via 192.168.7.2 dev lan`: file exists"),
    ] {
        run(command(&[&format!("interfaces::{test}")]))?
            .failed()
            .says("the lab could not be built")
            .says(what);
        scratch.is_as_it_was();
    }
    Ok(())
}

/// Each call of `iptables` in turn is refused, until there are no more.
#[netlab::test(topology = "tests/topologies/scratch_machine.topo", timeout = "120s")]
fn whichever_rule_is_refused_everything_is_undone(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let mut refused = 0;
    loop {
        let broken = Broken::new(refused)?;
        let mut nested = command(&["scenarios::b4_the_gateway_carries_outbound_traffic_through_nat"]);
        nested.env("PATH", broken.path());
        let ran = run(nested)?;
        scratch.is_as_it_was();
        if !broken.has_refused() {
            ran.passed();
            break;
        }
        ran.failed().says("the lab could not be built").says("refused on purpose");
        refused += 1;
    }
    println!("{refused} changes were refused, one after the other");
    assert!(refused > 10, "only {refused} rules");
    Ok(())
}

/// A folder with an `iptables` that refuses the change after so many others.
struct Broken(PathBuf);

impl Broken {
    fn new(after: usize) -> netlab::Result<Self> {
        let folder = PathBuf::from(format!("/run/broken-{after}"));
        fs::create_dir(&folder)?;
        fs::write(folder.join("left"), "x".repeat(after))?;
        let real = scratch::program("iptables").expect("these tests do not run without");
        let script = format!(
            "#!/bin/sh\nread left < {left}; case \"$*\" in\n*' -N '* | *' -I '* | *' -A '*)\n\
             if [ ! -e {refused} ]; then\nif [ -z \"$left\" ]; then : > {refused}; echo refused on purpose >&2; exit 1; fi\n\
             printf %s \"${{left#x}}\" > {left}\nfi;;\nesac\nexec {real} \"$@\"\n",
            left = folder.join("left").display(),
            refused = folder.join("refused").display(),
            real = real.display(),
        );
        for name in ["iptables", "iptables-nft", "iptables-legacy"] {
            fs::write(folder.join(name), &script)?;
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self(folder))
    }

    fn path(&self) -> OsString {
        #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
        let path = std::env::var_os("PATH").unwrap_or_default();
        [self.0.as_os_str(), &path].join(OsStr::new(":"))
    }

    fn has_refused(&self) -> bool {
        self.0.join("refused").exists()
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it was made here");
    }
}

#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
fn a_computed_topology_that_needs_the_machine_gets_it(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    run(command(&["outcomes::computed"]))?.passed().says("1 passed");
    scratch.is_as_it_was();
    Ok(())
}

/// In a user namespace of its own a process is root, and nobody to the machine's network.
#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
fn without_privilege_it_is_ignored_with_the_command(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let elsewhere = |strict: bool| {
        let mut nested = std::process::Command::new("unshare");
        let fixture = command(&[]);
        nested.arg("-r").arg(fixture.get_program()).args(["outcomes::", "--test-threads=2"]);
        nested.env("NETLAB_TESTS_SCRATCH_MACHINE", "1").env_remove("CI").env_remove("NETLAB_STRICT");
        if strict {
            nested.env("NETLAB_STRICT", "1");
        }
        run(nested)
    };
    elsewhere(false)?
        .passed()
        .says("test outcomes::isolated")
        .says("ignored (a lab on the machine's own network takes CAP_NET_ADMIN and CAP_SYS_ADMIN")
        .says("netlab: 2 ignored: 2 cannot run here (a lab on the machine's own network")
        .says("_RUNNER='sudo -E' cargo test`");
    elsewhere(true)?.failed().says("cannot run here, and must").says("1 passed; 2 failed");
    scratch.is_as_it_was();
    Ok(())
}

/// What somebody else changes while a test runs is theirs, is left, and is told.
#[netlab::test(topology = "tests/topologies/scratch_machine.topo")]
async fn what_somebody_else_changed_is_left_and_fails_the_test(lab: Lab) -> netlab::Result {
    let scratch = Scratch::new(lab)?;
    let test = Underway::start("interfaces::d_the_interface_is_shared")?;
    let rules = scratch::rules("iptables", "filter")?;
    let chain =
        rules.lines().find_map(|rule| rule.strip_prefix("-N ").filter(|chain| chain.ends_with("-FORWARD")));
    let chain = chain.expect("the machine forwards, and has a chain for it");
    scratch::change("iptables", &["-A", chain, "-s", "192.0.2.99", "-j", "DROP"])?;
    visit(&scratch.far()?, "10.1.1.100:22", "return\n").await?;
    let what = format!("`iptables -t filter -N {}", chain.split('-').next().unwrap_or_default());
    test.wait()?
        .failed()
        .says("netlab: not everything that was changed on the machine could be undone:")
        .says(&what)
        .says("was left, since somebody else changed it: somebody else put `-A")
        .says("-s 192.0.2.99/32 -j DROP` there");
    let Changes(left) = scratch.changes()?;
    assert!(
        left.iter().all(|line| line.contains(chain)),
        "more than their rule and its chain is left: {left:#?}"
    );
    assert_eq!(left.len(), 3, "the chain, the jump to it, and their rule: {left:#?}");
    Ok(())
}
