//! Labs that cannot be built say why, and leave nothing.

use std::error::Error as _;
use std::fs;

use netlab::prelude::*;
use netlab::{Plan, Topology};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn plan(text: &str) -> Plan {
    let plan = Topology::parse(text, "test").and_then(|topology| topology.plan());
    plan.unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Descriptors of network namespaces that this process holds, and of everything.
fn descriptors() -> (usize, usize) {
    let all: Vec<_> = fs::read_dir("/proc/self/fd")
        .expect("/proc is mounted")
        .map(|entry| fs::read_link(entry.expect("an entry").path()).unwrap_or_default())
        .collect();
    (all.iter().filter(|to| to.to_string_lossy().starts_with("net:")).count(), all.len())
}

/// Builds a lab that must fail, and gives the error's text with its cause.
fn refused(text: &str) -> String {
    let before = descriptors();
    let error = Lab::build_named("wrong", plan(text)).expect_err("the lab cannot be built");
    assert!(error.source().is_some());
    assert_eq!(descriptors(), before, "namespaces are left after {error:?}");
    format!("{error:#}")
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node host lan addr=8.8.8.8/32; node a lan")]
fn a_refusal_at_any_step_names_it_and_leaves_nothing() -> netlab::Result {
    // The host is taken: what a second lab wants to make there is there already.
    let text = refused("net lan 10.1.0.0/24; node host lan; node b lan");
    assert!(text.starts_with("lab `wrong`: node `host`: `ip link add lan index 100 address "), "{text}");
    assert!(text.contains("file exists (os error 17)"), "{text}");
    let text = refused("node b; link host b 10.2.0.0/30");
    assert!(text.starts_with("lab `wrong`: node `host`: `ip link add eth0 index 100 "), "{text}");
    let text = refused("node host addr=8.8.8.8/32; node b");
    assert!(text.starts_with("lab `wrong`: node `host`: `ip addr add 8.8.8.8/32 dev lo`: "), "{text}");
    let text = refused("node a; node b sysctl(net.ipv4.no_such_key=1); node c");
    assert!(text.starts_with("lab `wrong`: node `b`: `sysctl -w net.ipv4.no_such_key=1`: "), "{text}");
    assert!(
        text.contains("no such file or directory (os error 2); this kernel has no `net.ipv4.no_such_key`"),
        "{text}"
    );
    let text = refused("node a; node b sysctl(net.ipv4.ip_forward=yes)");
    assert!(text.contains("node `b`: `sysctl -w net.ipv4.ip_forward=yes`: invalid argument"), "{text}");

    // Positive control: the same kind of lab is built when nothing is in its way.
    Lab::build(plan("net lan 10.1.0.0/24; node b lan; node c lan"))?.node("b")?.ping("c").blocking()?;
    Ok(())
}

#[netlab::test]
fn too_few_descriptors_are_counted_and_the_limit_is_named() -> netlab::Result {
    let (_, open) = descriptors();
    let limit = open as u64 + 24;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    let text = refused("node n[40]");
    assert!(text.contains("node `n"), "{text}");
    assert!(text.contains("too many open files (os error 24)"), "{text}");
    assert!(text.contains("this lab holds 82 descriptors open (2 for each of 41 namespaces)"), "{text}");
    assert!(text.contains(&format!("the process may have {limit}")), "{text}");
    Lab::build(plan("node n[4]"))?;
    Ok(())
}

#[netlab::test]
fn a_low_soft_limit_of_descriptors_is_raised() -> netlab::Result {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, 64.min(hard), hard)?;
    let lab = Lab::build(plan("net lan 10.0.0.0/24; node n[60] lan"))?;
    assert_eq!(lab.namespaces().len(), 62);
    lab.node("n1")?.ping("n60").blocking()?;
    Ok(())
}

/// Its messages take several sends, and its answers several rounds.
#[netlab::test]
fn a_star_of_hundreds_is_built_whole() -> netlab::Result {
    let lab = Lab::build(plan("net lan 10.0.0.0/16 fd00::/64; node n[400] lan"))?;
    let last = lab.node("n400")?;
    lab.node("n1")?.ping(last.addr4()).blocking()?;
    lab.node("n200")?.ping(last.addr6()).blocking()?;
    let ports = lab.net("lan")?.fdb()?.into_iter().filter(|entry| !entry.learned && entry.node.is_some());
    assert_eq!(ports.count(), 400);
    Ok(())
}

#[netlab::test]
fn a_lab_ends_with_its_last_handle() -> netlab::Result {
    let before = descriptors();
    let lab = Lab::build(plan("net lan 10.0.0.0/24; node a lan; node b lan"))?;
    let a = lab.node("a")?;
    drop(lab);
    a.ping("b").blocking()?;
    a.enter(|| ());
    drop(a);
    assert_eq!(descriptors(), before);
    Ok(())
}
