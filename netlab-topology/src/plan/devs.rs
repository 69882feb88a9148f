//! Other names and indexes for the devices of one namespace.
//!
//! The plan chooses both for every namespace of the lab's own. In the machine's, which of them are free is known only when the
//! lab is built.

use std::collections::BTreeMap;

use super::op::{Dev, Iptables, Match, Nft, Op, Place, VethEnd};
use super::{Plan, Wire};
use crate::name::IfName;

/// What a device of a namespace is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DevRole {
    /// A bridge of a net.
    Bridge,
    /// A port of a bridge: the bridge's side of a veth pair, or an interface of the machine that was moved to a bridge.
    Port,
    /// An interface of the node, other than a bridge; in the machine's namespace the end of a link.
    LinkEnd,
    /// An interface of the machine, not made by the lab ([`Dev::is_of_the_machine`]).
    OfTheMachine,
}

impl Plan {
    /// The plan with other devices in a place: `f` is asked once for each, in the order of the steps, and its answer stands
    /// wherever the device is: in nodes, nets and steps, in the names that rules match and the keys of sysctls.
    ///
    /// `lo` is not asked for. What `f` answers must differ from one device to another, as names and indexes in a namespace do.
    #[must_use = "the plan itself stays as it is"]
    pub fn with_devs(&self, place: Place, f: &mut dyn FnMut(&Dev, DevRole) -> Dev) -> Self {
        let mut renaming = Renaming { known: BTreeMap::new() };
        for dev in devs_of_steps(self, place) {
            if dev.name.as_str() != "lo" && renaming.find(&dev.name).is_none() {
                let new = f(dev, role(self, place, dev));
                renaming.known.insert(dev.name.clone(), new);
            }
        }
        let mut plan = self.clone();
        for node in plan.nodes.iter_mut().filter(|node| node.place == place) {
            node.interfaces.iter_mut().for_each(|interface| renaming.dev(&mut interface.dev));
        }
        for net in plan.nets.iter_mut().filter(|net| net.place == place) {
            net.bridge.iter_mut().for_each(|bridge| renaming.dev(bridge));
            net.ports.iter_mut().for_each(|port| renaming.dev(&mut port.dev));
        }
        if self.machine == Some(place) {
            plan.nics.iter_mut().for_each(|nic| renaming.name(&mut nic.name));
        }
        for step in &mut plan.steps {
            let here = step.place == place;
            for dev in devs_mut(&mut step.op, here, place) {
                renaming.dev(dev);
            }
            if here {
                renaming.names(&mut step.op);
            }
        }
        plan
    }
}

/// What each device is from now on, by the name it had.
struct Renaming {
    known: BTreeMap<IfName, Dev>,
}

impl Renaming {
    fn find(&self, name: &IfName) -> Option<&Dev> {
        self.known.get(name)
    }

    fn dev(&self, dev: &mut Dev) {
        if let Some(new) = self.find(&dev.name) {
            *dev = new.clone();
        }
    }

    fn name(&self, name: &mut IfName) {
        if let Some(new) = self.find(name) {
            *name = new.name.clone();
        }
    }

    /// Names where there is no device: in rules and in keys.
    fn names(&self, op: &mut Op) {
        match op {
            Op::SetSysctl { key, .. } => {
                let device = device_of_key(key).and_then(|name| IfName::new(name).ok());
                if let Some(new) = device.and_then(|name| self.find(&name)) {
                    *key = with_device(key, &new.name);
                }
            }
            Op::Nft(Nft::AddRule { matches, .. }) | Op::Iptables(Iptables::AddRule { matches, .. }) => {
                for m in matches {
                    if let Match::OutgoingInterface(name) | Match::IncomingInterface(name) = m {
                        self.name(name);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The devices of a place that steps name, in their order.
fn devs_of_steps(plan: &Plan, place: Place) -> Vec<&Dev> {
    plan.steps.iter().flat_map(|step| devs(&step.op, step.place == place, place)).collect()
}

fn role(plan: &Plan, place: Place, dev: &Dev) -> DevRole {
    let mut nets = plan.nets.iter().filter(|net| net.place == place);
    let is_end = |wire: Wire| !matches!(wire, Wire::Net(net) if plan.nets[net].bridge.as_ref() == Some(dev));
    if dev.is_of_the_machine() {
        DevRole::OfTheMachine
    } else if nets.any(|net| net.bridge.as_ref() == Some(dev)) {
        DevRole::Bridge
    } else if plan
        .nodes
        .iter()
        .filter(|node| node.place == place)
        .flat_map(|node| &node.interfaces)
        .any(|interface| interface.dev == *dev && is_end(interface.wire))
    {
        DevRole::LinkEnd
    } else {
        DevRole::Port
    }
}

/// The devices of an op that are in `place`; `here` says whether its step is.
macro_rules! devs_in {
    ($name:ident, $iter:ident, $($mutability:tt)?) => {
        fn $name(op: &$($mutability)? Op, here: bool, place: Place) -> Vec<&$($mutability)? Dev> {
            match op {
                Op::AddVeth { end: VethEnd { dev, .. }, master, peer_place, peer, .. } => {
                    let there = *peer_place == place;
                    let own = here.then_some(dev).into_iter();
                    let master = master.$iter().filter(|_| here);
                    own.chain(master).chain(there.then_some(&$($mutability)? peer.dev)).collect()
                }
                Op::TakeNic { nic, to, dev, .. } => {
                    let there = *to == place;
                    here.then_some(nic).into_iter().chain(there.then_some(dev)).collect()
                }
                Op::AddMacvlan { parent, peer_place, peer, .. } => {
                    let there = *peer_place == place;
                    here.then_some(parent).into_iter().chain(there.then_some(peer)).collect()
                }
                _ if !here => Vec::new(),
                Op::AddBridge { dev, .. }
                | Op::SetUp { dev }
                | Op::DisableLinkLocal { dev }
                | Op::DisableOffload { dev }
                | Op::AddAddress { dev, .. }
                | Op::AddRoute { dev, .. } => vec![dev],
                Op::PlugNic { nic: dev, bridge, .. } | Op::SetMaster { dev, bridge } => vec![dev, bridge],
                Op::AddNamespace { .. } | Op::SetSysctl { .. } | Op::Nft(_) | Op::Iptables(_) => Vec::new(),
            }
        }
    };
}

devs_in!(devs, iter,);
devs_in!(devs_mut, iter_mut, mut);

/// The device that a sysctl's key is for, if it is one of those there are for each device. A dot in its name is written `/`.
pub(crate) fn device_of_key(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('.').collect();
    match parts[..] {
        ["net", "ipv4" | "ipv6", "conf" | "neigh", device, _] | ["net", "mpls", "conf", device, _] => {
            Some(device.replace('/', "."))
        }
        _ => None,
    }
}

/// The key of a setting that there is for each device.
pub(crate) fn key_of_device(family: &str, device: &IfName, setting: &str) -> String {
    format!("net.{family}.conf.{}.{setting}", device.as_str().replace('.', "/"))
}

/// The same key for another device.
fn with_device(key: &str, device: &IfName) -> String {
    let mut parts: Vec<String> = key.split('.').map(str::to_owned).collect();
    // The device is the fourth of five words, as in `device_of_key`.
    parts[3] = device.as_str().replace('.', "/");
    parts.join(".")
}
