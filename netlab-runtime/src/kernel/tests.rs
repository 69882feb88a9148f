//! The executor on the fake kernel, and the real kernel where this process may make namespaces.

use std::error::Error as _;

use netlab_topology::plan::Op;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkInfo};

use super::apply;
use super::fake::Fake;
use super::sample::{PLACES, places, steps};

#[test]
fn every_step_is_carried_out_once_namespaces_with_their_sysctls() {
    let mut kernel = Fake::default();
    let spaces = apply(&mut kernel, "sample", &places(), &steps()).unwrap();
    assert_eq!(spaces.len(), PLACES.len());
    let mut done = kernel.record.borrow().done.clone();
    done.sort_unstable();
    assert_eq!(done, (0..steps().len()).collect::<Vec<_>>());
    // One call for the host's sysctls, one for all namespaces, one for each run of messages of a place; the host's
    // bridge waits for its ports.
    let expected = [
        "sysctl", "make", "route", "route", "route", "offload", "route", "route", "wait", "route", "nft",
        "wait", "wait", "wait", "wait", "wait", "settle", "settle", "settle",
    ];
    assert_eq!(kernel.record.borrow().calls, expected);
    drop(spaces);
    assert_eq!(kernel.record.borrow().alive, 0);
}

#[test]
fn a_refusal_of_any_step_names_node_operation_and_errno_and_leaves_nothing() {
    let steps = steps();
    for (index, step) in steps.iter().enumerate() {
        let mut kernel = Fake::refusing(index, libc::EPERM);
        let error = apply(&mut kernel, "sample", &places(), &steps).expect_err("a step was refused");
        let node = PLACES[step.place.0];
        assert_eq!(error.node(), node);
        assert_eq!(error.to_string(), format!("lab `sample`: node `{node}`: `{}`", step.op));
        assert_eq!(error.io_error().raw_os_error(), Some(libc::EPERM));
        let cause = error.source().unwrap().to_string();
        assert!(cause.starts_with("operation not permitted (os error 1); "), "{cause}");
        let record = kernel.record.borrow();
        assert_eq!(record.alive, 0, "step {index} (`{}`) left namespaces", step.op);
        let made =
            record.done.iter().filter(|done| matches!(steps[**done].op, Op::AddNamespace { .. })).count();
        let before = if matches!(step.op, Op::AddNamespace { .. } | Op::SetSysctl { .. }) {
            made
        } else {
            PLACES.len() - 1
        };
        assert_eq!(made, before);
        let last = record.calls.last();
        assert!(last != Some(&"wait") && last != Some(&"settle"), "nothing is tried after step {index}");
        // Namespaces and leading sysctls are done by place, what follows in its order.
        if made == PLACES.len() - 1 && !matches!(step.op, Op::SetSysctl { .. }) {
            assert!(record.done.iter().all(|done| *done < index), "{:?} after {index}", record.done);
        }
    }
}

#[test]
fn an_interface_that_does_not_come_up_is_named() {
    let mut kernel = Fake { late: Some("side-0"), ..Fake::default() };
    let error = apply(&mut kernel, "sample", &places(), &steps()).unwrap_err();
    assert_eq!(error.to_string(), "lab `sample`: node `switch`: interface `side-0` did not come up");
    assert_eq!(error.operation(), None);
    assert_eq!(kernel.record.borrow().alive, 0);
}

#[test]
fn a_veth_is_born_with_both_ends_in_place_and_only_a_port_up() {
    let mut kernel = Fake::default();
    apply(&mut kernel, "sample", &places(), &steps()).unwrap();
    let record = kernel.record.borrow();
    let veths = record.route.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => {
            let infos = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::LinkInfo(infos) => Some(infos),
                _ => None,
            })?;
            infos.iter().find_map(|info| match info {
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))) => Some((link, peer)),
                _ => None,
            })
        }
        _ => None,
    });
    let mut count = 0;
    for (link, peer) in veths {
        count += 1;
        let port = link.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::Controller(_)));
        assert_eq!(link.header.flags.contains(LinkFlags::Up), port);
        // Up in the peer's part is `ENOTCONN`.
        assert!(!peer.header.flags.contains(LinkFlags::Up));
        assert!(
            peer.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::NetNsFd(1001..=1004)))
        );
        assert!(!link.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::NetNsFd(_))));
        assert!(link.header.index >= 100 && peer.header.index >= 100);
        for end in [link, peer] {
            assert!(end.attributes.contains(&LinkAttribute::NumTxQueues(1)));
            assert!(end.attributes.contains(&LinkAttribute::NumRxQueues(1)));
        }
    }
    assert_eq!(count, 4);
}
