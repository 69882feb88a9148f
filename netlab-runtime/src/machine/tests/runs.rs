//! Runs that end before they undo, and who may undo for them.

use std::fs;
use std::process::{Child, Command, Stdio};

use super::super::lock::Lock;
use super::super::{Fate, Session, SweepError, Turn, runs, state, sweep};
use super::scratch::{Both, eth1, scratch, sh, sysctls, told};
use crate::settings;

/// Makes this test, run again, the one that is killed.
const VICTIM: &str = "NETLAB_SCRATCH_VICTIM";

/// Runs `work` in a copy of this process, and kills it when it has come to its end: nothing of it runs after that.
fn killed(test: &str, work: fn()) -> bool {
    if settings::variable(VICTIM).is_some() {
        work();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    let mut victim: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VICTIM, "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = victim.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL), "{status}");
    true
}

/// Takes `eth1`, and has IPv4 forwarded.
fn take_and_forward() {
    let mut both = Both::begin();
    let plan = both.bind("node blue nic(eth1)=10.1.1.83/24").unwrap();
    drop(both.take(&plan));
    let key =
        netlab_topology::plan::Op::SetSysctl { key: "net.ipv4.ip_forward".to_owned(), value: "1".to_owned() };
    let place = plan.machine().unwrap();
    both.record(&[&netlab_topology::plan::Step { place, op: key }]);
    sh("sysctl -qw net.ipv4.ip_forward=1");
    // What follows is a `SIGKILL`.
    std::mem::forget(both);
}

#[test]
fn what_a_killed_run_left_is_swept() {
    const TEST: &str = "machine::tests::runs::what_a_killed_run_left_is_swept";
    scratch(TEST, || {
        if settings::variable(VICTIM).is_none() {
            eth1();
            sh(
                "ip link set eth1 up mtu 1400; ip addr add 10.1.1.5/24 dev eth1; ip route add 10.2.0.0/16 via 10.1.1.1",
            );
        }
        let before = (told(), sysctls("eth1"));
        killed(TEST, take_and_forward);
        assert_ne!(told(), before.0);

        let listed = runs().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].alive, listed[0].here, listed[0].changes.len()), (Some(false), true, 2));
        let dry = sweep(true).unwrap();
        assert!(
            matches!(&dry[0].fate, Fate::WouldBeUndone(changes) if changes[0] == "ip link set eth1 netns blue"),
            "{dry:?}"
        );
        assert_ne!(told(), before.0, "a dry run changes nothing");

        let swept = sweep(false).unwrap();
        assert!(matches!(&swept[0].fate, Fate::Undone { changes: 2, left } if left.is_empty()), "{swept:?}");
        assert_eq!((told(), sysctls("eth1")), before);
        assert!(!std::path::Path::new("/run/netlab").exists());
        assert_eq!(sh("sysctl -n net.ipv4.ip_forward"), "0\n");
        assert_eq!(sweep(false).unwrap(), []);
    });
}

#[test]
fn the_next_run_sweeps_first() {
    const TEST: &str = "machine::tests::runs::the_next_run_sweeps_first";
    scratch(TEST, || {
        if settings::variable(VICTIM).is_none() {
            eth1();
        }
        let before = told();
        killed(TEST, take_and_forward);
        let session =
            Session::begin("next", Turn::wait(true, |holder| panic!("{holder} has the lock")).unwrap())
                .unwrap();
        assert_eq!(session.swept().len(), 1);
        assert_eq!(told(), before);
        assert_eq!(session.end(), []);
    });
}

#[test]
fn a_living_run_is_never_swept() {
    scratch("machine::tests::runs::a_living_run_is_never_swept", || {
        let session = Session::begin("living", Turn::wait(true, |_| {}).unwrap()).unwrap();
        let Err(SweepError::Busy(holder)) = sweep(false) else { panic!("it was swept") };
        assert_eq!((holder.pid, holder.test.as_deref()), (Some(std::process::id()), Some("living")));
        assert_eq!(sweep(true).unwrap(), []);
        let listed = runs().unwrap();
        assert_eq!((listed.len(), listed[0].alive, listed[0].test.as_str()), (1, Some(true), "living"));
        // Whose lock is lost, but who lives: as by a defect of ours.
        let journal = state::journals().remove(0);
        let kept = fs::read(&journal).unwrap();
        assert_eq!(session.end(), []);
        state::folder().unwrap();
        fs::write(&journal, kept).unwrap();
        assert_eq!(sweep(false).unwrap(), []);
        assert!(journal.exists());
    });
}

#[test]
fn the_lock_is_held_as_long_as_the_sandbox_lives() {
    scratch("machine::tests::runs::the_lock_is_held_as_long_as_the_sandbox_lives", || {
        let session = Session::begin("one", Turn::wait(true, |_| {}).unwrap()).unwrap();
        let [net, _journal] = session.descriptors().unwrap();
        assert_eq!(session.end(), []);
        assert!(Lock::try_take().unwrap().is_err());
        drop(net);
        assert!(Lock::try_take().unwrap().is_ok());
    });
}

#[test]
fn journals_of_others_are_not_believed() {
    scratch("machine::tests::runs::journals_of_others_are_not_believed", || {
        let session = Session::begin("other", Turn::wait(true, |_| {}).unwrap()).unwrap();
        let journal = state::journals().remove(0);
        let forged = fs::read_to_string(&journal).unwrap();
        assert_eq!(session.end(), []);
        let forged = forged.replace("\"start\":", "\"start\":9");
        state::folder().unwrap();
        fs::write(&journal, &forged).unwrap();
        sh(&format!("chmod 666 {}", journal.display()));
        let swept = sweep(false).unwrap();
        assert!(
            matches!(&swept[0].fate, Fate::Unreadable(why) if why.contains("others may write")),
            "{swept:?}"
        );
        assert!(journal.exists());
        // Of our own it is believed: another boot, and so nothing to undo.
        sh(&format!("chmod 600 {}", journal.display()));
        fs::write(&journal, forged.replace("\"boot\":\"", "\"boot\":\"0")).unwrap();
        let swept = sweep(false).unwrap();
        assert!(matches!(&swept[0].fate, Fate::Dropped(why) if why.contains("started again")), "{swept:?}");
        assert!(!journal.exists());
    });
}

#[test]
fn a_machine_that_is_gone_has_nothing_to_undo() {
    scratch("machine::tests::runs::a_machine_that_is_gone_has_nothing_to_undo", || {
        let session = Session::begin("gone", Turn::wait(true, |_| {}).unwrap()).unwrap();
        let journal = state::journals().remove(0);
        let text = fs::read_to_string(&journal).unwrap();
        assert_eq!(session.end(), []);
        let inode = text.split("\"inode\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
        let elsewhere =
            text.replace("\"start\":", "\"start\":9").replace(&format!("\"inode\":{inode}"), "\"inode\":1");
        state::folder().unwrap();
        fs::write(&journal, elsewhere).unwrap();
        let swept = sweep(false).unwrap();
        assert!(matches!(&swept[0].fate, Fate::Dropped(why) if why.contains("gone")), "{swept:?}");
    });
}

#[test]
fn names_and_interfaces_are_judged_before_any_change() {
    scratch("machine::tests::runs::names_and_interfaces_are_judged_before_any_change", || {
        eth1();
        sh(
            "ip link set eth1 up; ip addr add 10.1.1.5/24 dev eth1; ip route add default via 10.1.1.1; ip link add lan type bridge",
        );
        let mut both = Both::begin();
        for (topology, says) in [
            ("node host real lan=.1; net lan 192.168.1.0/24; node blue lan", "an interface `lan` already"),
            ("node blue nic(eth9)=10.1.1.83/24", "no interface `eth9`; it has `lo`"),
            ("node blue nic(eth1)=10.1.1.83/24", "default route via 10.1.1.1 goes through it; write `force`"),
        ] {
            let why = both.bind(topology).unwrap_err();
            assert!(why.contains(says), "{topology}: {why}");
        }
        both.bind("node blue nic(eth1 force)=10.1.1.83/24").unwrap();
        assert_eq!(both.end(), []);
    });
}
