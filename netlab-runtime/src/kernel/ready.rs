//! When a lab is ready: both ends of every wire that is set up are up in operation.
//!
//! A port whose carrier has just come is disabled until the kernel's link watch has run, up to a second later, and the
//! first ARP request is lost with it (`net/core/link_watch.c`: events of devices that are not urgent wait for `HZ`).
//! A bridge's own state comes still later, and nothing waits for it.

use std::collections::HashMap;
use std::io;

use netlab_topology::plan::{Dev, Op, Place, Step};

use super::apply::Kernel;

/// An interface that did not come up.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) place: Place,
    pub(super) dev: Option<Dev>,
    pub(super) error: io::Error,
}

/// Waits until every veth whose two ends are set up is up on both.
pub(super) fn wait<K: Kernel>(kernel: &mut K, steps: &[Step], spaces: &mut [K::Space]) -> Result<(), Late> {
    for (place, devices) in devices(steps, spaces.len()) {
        let failed = |dev, error| Late { place, dev, error };
        match kernel.wait_until_up(&mut spaces[place.0], &devices) {
            Ok(None) => {}
            Ok(Some(dev)) => return Err(failed(Some(dev.clone()), io::ErrorKind::TimedOut.into())),
            Err(error) => return Err(failed(None, error)),
        }
    }
    Ok(())
}

/// The interfaces to wait for in each place, in the order of the places.
fn devices(steps: &[Step], places: usize) -> Vec<(Place, Vec<&Dev>)> {
    let mut up = HashMap::new();
    for Step { place, op } in steps {
        match op {
            Op::AddVeth { end, master: Some(_), .. } => up.insert((*place, end.dev.index), ()),
            Op::SetUp { dev } => up.insert((*place, dev.index), ()),
            _ => None,
        };
    }
    let mut devices = vec![Vec::new(); places];
    for Step { place, op } in steps {
        if let Op::AddVeth { end, peer_place, peer, .. } = op
            && up.contains_key(&(*place, end.dev.index))
            && up.contains_key(&(*peer_place, peer.dev.index))
        {
            devices[place.0].push(&end.dev);
            devices[peer_place.0].push(&peer.dev);
        }
    }
    devices
        .into_iter()
        .enumerate()
        .filter(|(_, devices)| !devices.is_empty())
        .map(|(p, d)| (Place(p), d))
        .collect()
}
