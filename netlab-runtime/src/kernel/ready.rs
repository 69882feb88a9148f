//! When a lab is ready: both ends of every wire that is set up are up in operation, and no address is tentative.
//!
//! A port whose carrier has just come is disabled until the kernel's link watch has run, up to a second later, and
//! the first ARP request is lost with it (`net/core/link_watch.c`: events of devices that are not urgent wait for
//! `HZ`). A bridge's own state comes still later; IPv4 works without it, and so only a bridge with IPv6 addresses is
//! waited for: it gets its link-local address then, without which it asks for no neighbour of what it forwards
//! (`ndisc_send_ns`).
//!
//! An IPv6 address is tentative until a worker of the kernel has joined its multicast group, even where no duplicates
//! are looked for (`addrconf_dad_begin`); a neighbour that asks before is not heard, and asks again a second later.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlab_topology::plan::{Dev, Op, Place, Step};

use super::apply::Kernel;

/// What did not come up.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) place: Place,
    /// The interface or address, or else watching failed as such.
    pub(super) what: Option<String>,
    pub(super) error: io::Error,
}

/// Waits until a lab is ready.
pub(super) fn wait<K: Kernel>(kernel: &mut K, steps: &[Step], spaces: &mut [K::Space]) -> Result<(), Late> {
    for (place, devices) in devices(steps) {
        match kernel.wait_until_up(&mut spaces[place.0], &devices) {
            Ok(None) => {}
            Ok(Some(dev)) => {
                let what = Some(format!("interface `{dev}` did not come up"));
                return Err(Late { place, what, error: io::ErrorKind::TimedOut.into() });
            }
            Err(error) => return Err(Late { place, what: None, error }),
        }
    }
    for place in with_ipv6(steps) {
        match kernel.wait_until_settled(&mut spaces[place.0]) {
            Ok(None) => {}
            Ok(Some(addr)) => {
                let what = Some(format!("address `{addr}` stayed tentative"));
                return Err(Late { place, what, error: io::ErrorKind::TimedOut.into() });
            }
            Err(error) => return Err(Late { place, what: None, error }),
        }
    }
    Ok(())
}

/// The interfaces to wait for in each place, bridges after their ports.
fn devices(steps: &[Step]) -> BTreeMap<Place, Vec<&Dev>> {
    let mut up = BTreeSet::new();
    for Step { place, op } in steps {
        match op {
            Op::AddVeth { end, master: Some(_), .. } => up.insert((*place, end.dev.index)),
            Op::SetUp { dev } => up.insert((*place, dev.index)),
            _ => false,
        };
    }
    let mut devices: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Step { place, op } in steps {
        if let Op::AddVeth { end, peer_place, peer, .. } = op
            && up.contains(&(*place, end.dev.index))
            && up.contains(&(*peer_place, peer.dev.index))
        {
            devices.entry(*place).or_default().push(&end.dev);
            devices.entry(*peer_place).or_default().push(&peer.dev);
        }
    }
    for (place, bridge) in bridges_with_ipv6(steps) {
        // Without a port it never comes up.
        if let Some(devices) = devices.get_mut(&place) {
            devices.push(bridge);
        }
    }
    devices
}

/// Bridges that bear IPv6 addresses and have a port, each once.
fn bridges_with_ipv6(steps: &[Step]) -> impl Iterator<Item = (Place, &Dev)> {
    steps.iter().filter_map(|Step { place: at, op }| match op {
        Op::AddBridge { dev: bridge, .. } => {
            let there = |step: &&Step| step.place == *at;
            let ported = steps.iter().filter(there).any(
                |step| matches!(&step.op, Op::AddVeth { master: Some(master), .. } if master.index == bridge.index),
            );
            let addressed = steps.iter().filter(there).any(|step| {
                matches!(&step.op, Op::AddAddress { dev, addr } if dev.index == bridge.index && addr.addr().is_ipv6())
            });
            (ported && addressed).then_some((*at, bridge))
        }
        _ => None,
    })
}

/// Places with an IPv6 address.
fn with_ipv6(steps: &[Step]) -> BTreeSet<Place> {
    let added =
        steps.iter().filter(|step| matches!(step.op, Op::AddAddress { addr, .. } if addr.addr().is_ipv6()));
    added.map(|step| step.place).collect()
}
