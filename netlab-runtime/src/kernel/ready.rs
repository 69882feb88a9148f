//! When a lab is ready: both ends of every wire that is set up are up in operation, and no address is tentative.
//!
//! A port whose carrier has just come is disabled until the kernel's link watch has run, up to a second later, and
//! the first ARP request is lost with it (`net/core/link_watch.c`: events of devices that are not urgent wait for
//! `HZ`). A bridge follows its ports as late again, and until then loses what it sends itself (`dev_activate` waits for
//! the carrier). So a bridge that bears addresses is set up only when its ports are up: it has its carrier at once then.
//! Its operational state is late all the same, and its link-local address with it, without which it asks for no neighbour of
//! what it forwards (`ndisc_send_ns`): a bridge with IPv6 addresses is waited for as well.
//!
//! An IPv6 address is tentative until a worker of the kernel has joined its multicast group, even where no duplicates
//! are looked for (`addrconf_dad_begin`); a neighbour that asks before is not heard, and asks again a second later.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use ipnet::IpNet;
use netlab_topology::plan::{Dev, Op, Place, Step};

use super::calls::{Kernel, MadeBy};

/// What did not come up.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) place: Place,
    /// The interface or address, or else watching failed as such.
    pub(super) what: Option<String>,
    pub(super) error: io::Error,
}

/// Waits until a lab is ready. On the machine it waits for what is the lab's, whatever else goes on there.
pub(super) fn wait<K: Kernel>(
    kernel: &mut K,
    machine: Option<Place>,
    steps: &[Step],
    spaces: &mut [K::Space],
) -> Result<(), Late> {
    for ((place, made_by), devices) in devices(steps) {
        wait_until_up(kernel, place, spaces, &devices, made_by)?;
    }
    for (place, devices) in with_ipv6(steps) {
        let these = (machine == Some(place)).then(|| devices.into_iter().collect::<Vec<_>>());
        match kernel.wait_until_settled(&mut spaces[place.0], these.as_deref()) {
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

/// A port of a bridge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port<'a> {
    dev: &'a Dev,
    made_by: MadeBy,
    /// The step that makes it one.
    step: usize,
}

/// The ports of every bridge, by its place and index.
pub(super) fn ports(steps: &[Step]) -> BTreeMap<(Place, u32), Vec<Port<'_>>> {
    let mut ports: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (step, Step { place, op }) in steps.iter().enumerate() {
        let (bridge, dev, made_by) = match op {
            Op::AddVeth { end, master: Some(bridge), .. } => (bridge, &end.dev, MadeBy::TheLab),
            Op::SetMaster { dev, bridge } | Op::PlugNic { nic: dev, bridge, .. } => {
                (bridge, dev, MadeBy::Others)
            }
            _ => continue,
        };
        ports.entry((*place, bridge.index)).or_default().push(Port { dev, made_by, step });
    }
    ports
}

/// Waits until those ports are up that bridges have already which `coming` is about to set up.
pub(super) fn wait_for_ports<K: Kernel>(
    kernel: &mut K,
    ports: &BTreeMap<(Place, u32), Vec<Port<'_>>>,
    coming: Range<usize>,
    steps: &[Step],
    spaces: &mut [K::Space],
) -> Result<(), Late> {
    for Step { place, op } in &steps[coming.clone()] {
        let Op::SetUp { dev } = op else { continue };
        let Some(ports) = ports.get(&(*place, dev.index)) else { continue };
        for made_by in [MadeBy::TheLab, MadeBy::Others] {
            let are = ports.iter().filter(|port| port.made_by == made_by && port.step < coming.start);
            let are: Vec<_> = are.map(|port| port.dev).collect();
            if !are.is_empty() {
                wait_until_up(kernel, *place, spaces, &are, made_by)?;
            }
        }
    }
    Ok(())
}

fn wait_until_up<K: Kernel>(
    kernel: &mut K,
    place: Place,
    spaces: &mut [K::Space],
    devices: &[&Dev],
    made_by: MadeBy,
) -> Result<(), Late> {
    match kernel.wait_until_up(&mut spaces[place.0], devices, made_by) {
        Ok(None) => Ok(()),
        Ok(Some(dev)) => {
            let why =
                if made_by == MadeBy::Others { ": is there a cable, and something at its end?" } else { "" };
            let what = Some(format!("interface `{dev}` did not come up{why}"));
            Err(Late { place, what, error: io::ErrorKind::TimedOut.into() })
        }
        Err(error) => Err(Late { place, what: None, error }),
    }
}

/// The interfaces to wait for in each place: the ends of wires, interfaces of the machine that are used, and bridges with
/// IPv6 addresses.
fn devices(steps: &[Step]) -> BTreeMap<(Place, MadeBy), Vec<&Dev>> {
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
            devices.entry((*place, MadeBy::TheLab)).or_default().push(&end.dev);
            devices.entry((*peer_place, MadeBy::TheLab)).or_default().push(&peer.dev);
        }
    }
    for Step { place, op } in steps {
        let (place, dev) = match op {
            Op::TakeNic { to, dev, .. } => (*to, dev),
            Op::AddMacvlan { peer_place, peer, .. } => (*peer_place, peer),
            Op::SetMaster { dev, .. } | Op::PlugNic { nic: dev, .. } => (*place, dev),
            _ => continue,
        };
        let is_plugged = matches!(op, Op::SetMaster { .. } | Op::PlugNic { .. });
        if is_plugged || up.contains(&(place, dev.index)) {
            devices.entry((place, MadeBy::Others)).or_default().push(dev);
        }
    }
    let ports = ports(steps);
    let mut bridges = BTreeSet::new();
    for Step { place, op } in steps {
        if let Op::AddAddress { dev, addr: IpNet::V6(_) } = op
            && ports.contains_key(&(*place, dev.index))
            && bridges.insert((*place, dev.index))
        {
            devices.entry((*place, MadeBy::TheLab)).or_default().push(dev);
        }
    }
    devices
}

/// Places with an IPv6 address, and the devices that have one.
fn with_ipv6(steps: &[Step]) -> BTreeMap<Place, BTreeSet<u32>> {
    let mut places: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for Step { place, op } in steps {
        if let Op::AddAddress { dev, addr: IpNet::V6(_) } = op {
            places.entry(*place).or_default().insert(dev.index);
        }
    }
    places
}
