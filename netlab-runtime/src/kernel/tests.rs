//! The executor on the fake kernel, and the real kernel where this process may make namespaces.

use std::error::Error as _;

use netlab_topology::plan::{Op, Place};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkInfo};

use super::apply;
use super::fake::Fake;
use super::sample::{self, PLACES, places, places_on_the_machine, steps};

#[test]
fn every_step_is_carried_out_once_namespaces_with_their_sysctls() {
    let mut kernel = Fake::of(&steps());
    let spaces = apply(&mut kernel, "sample", &places(), None, &steps()).unwrap();
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
        let mut kernel = Fake::refusing(&steps, index, libc::EPERM);
        let error = apply(&mut kernel, "sample", &places(), None, &steps).expect_err("a step was refused");
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

fn on_the_machine(kernel: &mut Fake) -> Result<Vec<super::fake::FakeSpace>, super::BuildError> {
    kernel.machine = Some(Place(2));
    apply(kernel, "sample", &places_on_the_machine(), kernel.machine, &sample::on_the_machine())
}

#[test]
fn what_changes_the_machine_is_written_down_first_batch_by_batch() {
    // That each step is recorded before it is done, and no other, is asserted by the fake.
    let mut kernel = Fake::of(&sample::on_the_machine());
    let spaces = on_the_machine(&mut kernel).unwrap();
    assert_eq!(spaces.len(), 3);
    let record = kernel.record.borrow();
    let mut done = record.done.clone();
    done.sort_unstable();
    assert_eq!(done, (0..sample::on_the_machine().len()).collect::<Vec<_>>());
    assert_eq!(record.kept, ["blue"], "once, whatever goes there");
    let until_it_is_taken: Vec<_> =
        record.calls.iter().take_while(|call| **call != "take").copied().collect();
    assert_eq!(until_it_is_taken, ["machine", "make", "route", "record", "sysctl", "keep", "record"]);
    // The bridge waits for its ports, those of the lab and those of the machine.
    let from_the_last_port = record.calls.iter().skip_while(|call| **call != "plug").copied();
    let from_the_last_port: Vec<_> = from_the_last_port.take(4).collect();
    assert_eq!(from_the_last_port, ["plug", "wait", "record", "route"]);
    let iptables: Vec<_> = record.calls.iter().filter(|call| call.starts_with("iptables")).copied().collect();
    assert_eq!(iptables, ["iptables of the machine", "iptables"]);
}

#[test]
fn whatever_is_refused_all_that_was_done_to_the_machine_is_written_down() {
    let steps = sample::on_the_machine();
    for (index, step) in steps.iter().enumerate() {
        let mut kernel = Fake::refusing(&steps, index, libc::EBUSY);
        let error = on_the_machine(&mut kernel).expect_err("a step was refused");
        assert_eq!(error.operation(), Some(&*step.op.to_string()));
        assert_eq!(kernel.record.borrow().alive, 0, "step {index} (`{}`) left namespaces", step.op);
    }
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let mut kernel = Fake { full: true, ..Fake::of(&sample::on_the_machine()) };
    let error = on_the_machine(&mut kernel).unwrap_err();
    assert_eq!(error.operation(), Some("sysctl -w net.ipv4.ip_forward=1"));
    assert!(format!("{error:#}").contains("so it was not done"), "{error:#}");
    assert_eq!(kernel.record.borrow().calls, ["machine", "make", "route", "record"]);
}

#[test]
fn an_interface_that_does_not_come_up_is_named() {
    let mut kernel = Fake { late: Some("side-0"), ..Fake::of(&steps()) };
    let error = apply(&mut kernel, "sample", &places(), None, &steps()).unwrap_err();
    assert_eq!(error.to_string(), "lab `sample`: node `switch`: interface `side-0` did not come up");
    assert_eq!(error.operation(), None);
    assert_eq!(kernel.record.borrow().alive, 0);
}

#[test]
fn a_veth_is_born_with_both_ends_in_place_and_only_a_port_up() {
    let mut kernel = Fake::of(&steps());
    apply(&mut kernel, "sample", &places(), None, &steps()).unwrap();
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
