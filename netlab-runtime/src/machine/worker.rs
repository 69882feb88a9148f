//! The machine as the worker has it, which changes it: looks, chooses what is free, and writes down before it acts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlab_topology::plan::{Dev, DevRole, Family, Iptables, Op, Step};
use netlab_topology::{IfName, MacAddr, Plan};

use super::firewall::{self, Firewall, Program};
use super::ground::{Ground, inside};
use super::journal::{self, Change, Header};
use super::nic::{self, Link, Nic, UP};
use super::sysctl::{self, Effect};
use super::undo::{Undo, is_address, is_route};
use super::{pins, refuse};
use crate::kernel::Sysctls;

/// How far above the machine's indexes ours begin: interfaces that others add meanwhile get those in between.
const DISTANCE: u32 = 1000;

/// The machine's own network, in the hands of a worker.
#[derive(Debug)]
pub(crate) struct Machine {
    net: OwnedFd,
    journal: File,
    header: Header,
    bound: Bound,
}

/// What is known of the plan that is carried out.
#[derive(Debug, Default)]
struct Bound {
    /// The machine's place.
    place: Option<netlab_topology::plan::Place>,
    /// The indexes of the machine's own interfaces.
    own: BTreeSet<u32>,
    /// The MAC address that a bridge will take over.
    macs: BTreeMap<u32, String>,
    /// Interfaces that were moved or plugged, as they were.
    nics: BTreeMap<u32, Nic>,
}

/// What there is on the machine.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    links: Vec<Link>,
}

/// Why a lab cannot be built on this machine. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    /// It does not fit what is there.
    #[error("{}", .0.join("; "))]
    Unfit(Vec<String>),
    /// What the system says.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

impl From<MachineError> for io::Error {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Io { ref source, .. } => Self::new(source.kind(), error.to_string()),
            MachineError::Unfit(_) => Self::other(error),
        }
    }
}

fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::Io { what: what.into(), source }
}

impl Machine {
    /// The machine whose network namespace this is, with the journal that its runner began.
    ///
    /// # Errors
    ///
    /// It is not such a journal.
    pub(crate) fn open(net: OwnedFd, journal: OwnedFd) -> Result<Self, MachineError> {
        let mut journal = File::from(journal);
        let read = journal::read(&mut journal).map_err(at("the journal cannot be read"))?;
        let header = match read {
            Some(contents) => contents.header,
            None => return Err(MachineError::Unfit(vec!["the journal has no beginning".to_owned()])),
        };
        Ok(Self { net, journal, header, bound: Bound::default() })
    }

    /// The machine's network namespace.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// The machine's firewall, with the names that chains have there.
    pub(crate) fn firewall(&self) -> Firewall<'_> {
        Firewall::OfTheMachine { run: &self.header.run }
    }

    /// Looks at what there is.
    pub(crate) fn look(&self) -> Result<Snapshot, MachineError> {
        let links = inside(self.net.as_fd(), |ground| nic::links(&mut ground.socket));
        Ok(Snapshot { links: links.map_err(at("the machine's interfaces cannot be read"))? })
    }

    /// The plan with names and indexes that are free on the machine, and the indexes of the interfaces that are its own.
    ///
    /// # Errors
    ///
    /// A name is taken; an interface is not there, or should not be taken; a program is not there. Nothing was changed.
    pub(crate) fn bind(&mut self, plan: &Plan, there: &Snapshot) -> Result<Plan, MachineError> {
        let Some(place) = plan.machine() else { return Ok(plan.clone()) };
        let mut binding = Binding::new(&self.header.run, there);
        let bound = plan.with_devs(place, &mut |dev, role| binding.dev(dev, role));
        let Binding { mut problems, own, .. } = binding;
        self.bound = Bound { place: Some(place), own, ..Bound::default() };
        if problems.is_empty() {
            problems.extend(self.refused(&bound, there)?);
        }
        problems.extend(missing_programs(&bound));
        if problems.is_empty() { Ok(bound) } else { Err(MachineError::Unfit(problems)) }
    }

    /// Why interfaces should not be taken that are to be.
    fn refused(&mut self, plan: &Plan, there: &Snapshot) -> Result<Vec<String>, MachineError> {
        let mut problems = Vec::new();
        for step in plan.steps() {
            let (dev, force) = match &step.op {
                Op::TakeNic { nic, force, .. } => (nic, *force),
                Op::PlugNic { nic, force, bridge, takeover } => {
                    if *takeover && let Some(link) = there.links.iter().find(|link| link.index == nic.index) {
                        self.bound.macs.insert(bridge.index, link.mac_text());
                    }
                    (nic, *force)
                }
                _ => continue,
            };
            let reasons =
                inside(self.net.as_fd(), |ground| match Nic::look(&mut ground.socket, dev.index)? {
                    Some(nic) => refuse::reasons(&nic, &there.links),
                    None => Ok(vec!["it has just gone".to_owned()]),
                });
            let reasons = reasons.map_err(at(format!("the machine's interface `{dev}` cannot be read")))?;
            if !force && !reasons.is_empty() {
                problems.push(format!(
                    "the machine's interface `{dev}` is not taken: {}; write `force` behind its name in the topology to take it \
                     all the same",
                    reasons.join(", and ")
                ));
            }
        }
        Ok(problems)
    }

    /// Writes down how steps are undone that are about to be carried out, and returns when that is on disk. Steps that change
    /// nothing on the machine are passed over.
    ///
    /// With IPv6 forwarding, it also has interfaces go on to listen to router advertisements.
    ///
    /// # Errors
    ///
    /// What is to be added is there already, so that it would not be ours to remove; what writing says.
    pub(crate) fn record(&mut self, steps: &[&Step]) -> Result<(), MachineError> {
        let Self { net, header, bound, .. } = self;
        let recorded = inside(net.as_fd(), |ground| {
            let mut recording = Recording { ground, header, bound, changes: Vec::new(), listen: Vec::new() };
            for step in steps {
                match recording.step(step) {
                    Ok(()) => {}
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok((recording.changes, recording.listen)))
        });
        let (changes, listen) = recorded.map_err(at("the machine's network cannot be entered"))??;
        if changes.is_empty() {
            return Ok(());
        }
        journal::add(&mut self.journal, changes).map_err(at("the journal cannot be written"))?;
        if listen.is_empty() {
            return Ok(());
        }
        let done = inside(self.net.as_fd(), |_| {
            let mut sysctls = Sysctls::default();
            listen.iter().try_for_each(|key| sysctls.write(key, LISTEN_ALL_THE_SAME))
        });
        done.map_err(at("the machine cannot be kept listening to router advertisements"))
    }

    /// Moves an interface of the machine into another namespace, as `dev` (`ip link set NIC netns NAMESPACE`). It is down there,
    /// without addresses and routes.
    pub(crate) fn take_nic(&self, nic: &Dev, to: BorrowedFd<'_>, dev: &Dev) -> io::Result<()> {
        inside(self.net.as_fd(), |ground| {
            nic::set_flags(&mut ground.socket, nic.index, 0, UP)?;
            nic::send_to(&mut ground.socket, nic.index, to, dev.name.as_str(), dev.index)
        })
    }

    /// Makes an interface of the machine a port of a bridge beside it, and sets it up. Its addresses and routes are taken away,
    /// and with `takeover` given to the bridge.
    pub(crate) fn plug_nic(&self, nic: &Dev, bridge: &Dev, takeover: bool) -> io::Result<()> {
        let was = self.bound.nics.get(&nic.index);
        let was = was.ok_or_else(|| io::Error::other(format!("what `{nic}` was is not written down")))?;
        inside(self.net.as_fd(), |ground| {
            nic::plug(&mut ground.socket, was, bridge.index, bridge.name.as_str(), takeover)
        })
    }
}

/// `accept_ra`: also while forwarding.
const LISTEN_ALL_THE_SAME: &str = "2";

/// Devices of the plan, as they can be on the machine.
struct Binding<'a> {
    run: &'a str,
    there: &'a Snapshot,
    ports: u32,
    next: u32,
    own: BTreeSet<u32>,
    problems: Vec<String>,
}

impl<'a> Binding<'a> {
    fn new(run: &'a str, there: &'a Snapshot) -> Self {
        let highest = there.links.iter().map(|link| link.index).max().unwrap_or(0);
        Self { run, there, ports: 0, next: highest + DISTANCE, own: BTreeSet::new(), problems: Vec::new() }
    }

    fn dev(&mut self, dev: &Dev, role: DevRole) -> Dev {
        let name = dev.name.as_str();
        let known = self
            .there
            .links
            .iter()
            .find(|link| link.name == name || link.other_names.iter().any(|n| n == name));
        match (role, known) {
            (DevRole::OfTheMachine, Some(link)) => {
                self.own.insert(link.index);
                // It may have been meant by another of its names.
                let name = IfName::new(link.name.clone()).unwrap_or_else(|_| dev.name.clone());
                return Dev { name, index: link.index };
            }
            (DevRole::OfTheMachine, None) => {
                let names: Vec<_> = self.there.links.iter().map(|link| format!("`{}`", link.name)).collect();
                self.problems
                    .push(format!("the machine has no interface `{name}`; it has {}", names.join(", ")));
                return dev.clone();
            }
            (DevRole::Port, _) => {
                let name = format!("nl{}-{}", self.run, self.ports);
                self.ports += 1;
                let name = IfName::new(name).unwrap_or_else(|_| dev.name.clone());
                return Dev { name, index: self.index() };
            }
            (DevRole::Bridge | DevRole::LinkEnd, Some(_)) => self.problems.push(format!(
                "the machine has an interface `{name}` already; give the {} another name in the topology",
                if role == DevRole::Bridge { "net" } else { "link's end" }
            )),
            (DevRole::Bridge | DevRole::LinkEnd, None) => {}
        }
        Dev { name: dev.name.clone(), index: self.index() }
    }

    fn index(&mut self) -> u32 {
        self.next += 1;
        self.next
    }
}

fn missing_programs(plan: &Plan) -> Vec<String> {
    let families: BTreeSet<Family> = plan
        .steps()
        .iter()
        .filter_map(|step| match &step.op {
            Op::Iptables(change) => Some(firewall::parts(change).0),
            _ => None,
        })
        .collect();
    families
        .into_iter()
        .filter_map(|family| Program::find(family).err())
        .map(|error| error.to_string())
        .collect()
}

struct Recording<'a> {
    ground: &'a mut Ground,
    header: &'a Header,
    bound: &'a mut Bound,
    changes: Vec<Change>,
    listen: Vec<String>,
}

impl Recording<'_> {
    fn step(&mut self, step: &Step) -> Result<(), MachineError> {
        let here = Some(step.place) == self.bound.place;
        let what = step.op.to_string();
        let undo = match &step.op {
            Op::AddBridge { dev, mac, .. } if here => Some(self.link(dev, *mac)),
            Op::AddVeth { end, .. } if here => Some(self.link(&end.dev, end.mac)),
            Op::AddVeth { peer, peer_place, .. } if Some(*peer_place) == self.bound.place => {
                Some(self.link(&peer.dev, peer.mac))
            }
            Op::SetSysctl { key, value } if here => return self.sysctl(what, key, value),
            Op::SetUp { dev } if here && self.is_own(dev) => {
                let link = nic::link(&mut self.ground.socket, dev.index).map_err(at(&what))?;
                let down = link.is_some_and(|link| link.flags & UP == 0);
                down.then(|| Undo::Up { index: dev.index, name: dev.name.to_string() })
            }
            Op::AddAddress { dev, addr } if here && self.is_own(dev) => {
                let all = nic::addresses(&mut self.ground.socket, dev.index).map_err(at(&what))?;
                if all.iter().any(|message| is_address(message, addr.addr())) {
                    return Err(MachineError::Unfit(vec![format!(
                        "the machine's interface `{dev}` has the address {} already",
                        addr.addr()
                    )]));
                }
                Some(Undo::Address { index: dev.index, name: dev.name.to_string(), address: *addr })
            }
            Op::AddRoute { dev, destination, via } if here && self.is_own(dev) => {
                let all = nic::routes(&mut self.ground.socket, 0).map_err(at(&what))?;
                if all.iter().any(|message| is_route(message, *destination)) {
                    return Err(MachineError::Unfit(vec![format!(
                        "the machine has a route to {destination} already"
                    )]));
                }
                let name = dev.name.to_string();
                Some(Undo::Route { index: dev.index, name, destination: *destination, via: *via })
            }
            Op::Iptables(change) if here => Some(self.iptables(change).map_err(at(&what))?),
            Op::TakeNic { nic, to_name, dev, .. } => {
                let pin = pins::path(&self.header.pins, to_name);
                let nic = self.nic(nic).map_err(at(&what))?;
                Some(Undo::TakenNic { pin, index: dev.index, nic })
            }
            Op::PlugNic { nic, bridge, takeover, .. } => {
                let nic = self.nic(nic).map_err(at(&what))?;
                let bridge_name = bridge.name.to_string();
                Some(Undo::PluggedNic { bridge: bridge.index, bridge_name, takeover: *takeover, nic })
            }
            Op::AddMacvlan { peer_name, peer, .. } => Some(Undo::Macvlan {
                pin: pins::path(&self.header.pins, peer_name),
                index: peer.index,
                name: peer.name.to_string(),
            }),
            Op::SetMaster { dev, .. } | Op::DisableLinkLocal { dev } | Op::DisableOffload { dev }
                if here && self.is_own(dev) =>
            {
                return Err(MachineError::Unfit(vec![format!(
                    "`{what}` could not be undone on the machine"
                )]));
            }
            Op::Nft(_) if here => {
                return Err(MachineError::Unfit(vec![format!(
                    "`{what}` could not be undone on the machine"
                )]));
            }
            // They go with what they are on, or happen elsewhere.
            Op::AddNamespace { .. }
            | Op::AddBridge { .. }
            | Op::AddVeth { .. }
            | Op::SetSysctl { .. }
            | Op::SetUp { .. }
            | Op::SetMaster { .. }
            | Op::DisableLinkLocal { .. }
            | Op::DisableOffload { .. }
            | Op::AddAddress { .. }
            | Op::AddRoute { .. }
            | Op::Nft(_)
            | Op::Iptables(_) => None,
        };
        self.changes.extend(undo.map(|undo| Change { what, undo }));
        Ok(())
    }

    fn is_own(&self, dev: &Dev) -> bool {
        self.bound.own.contains(&dev.index)
    }

    fn link(&self, dev: &Dev, mac: MacAddr) -> Undo {
        let mut macs = vec![mac.to_string()];
        macs.extend(self.bound.macs.get(&dev.index).cloned());
        Undo::Link { index: dev.index, name: dev.name.to_string(), macs }
    }

    fn nic(&mut self, dev: &Dev) -> io::Result<Nic> {
        let nic = Nic::look(&mut self.ground.socket, dev.index)?;
        let nic =
            nic.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("`{dev}` has just gone")))?;
        self.bound.nics.insert(dev.index, nic.clone());
        Ok(nic)
    }

    fn sysctl(&mut self, what: String, key: &str, value: &str) -> Result<(), MachineError> {
        let listen = sysctl::listening_to_routers(key, value).map_err(at(&what))?;
        let undo = match sysctl::effect(key, value).map_err(at(&what))? {
            Effect::Nothing => return Ok(()),
            Effect::One(was) => Undo::Sysctl { key: key.to_owned(), was, set: value.to_owned() },
            Effect::Many(forwarding) => Undo::Forwarding(forwarding),
        };
        for key in listen {
            let set = LISTEN_ALL_THE_SAME.to_owned();
            let what = format!("sysctl -w {key}={set}");
            self.changes
                .push(Change { what, undo: Undo::Sysctl { key: key.clone(), was: "1".to_owned(), set } });
            self.listen.push(key);
        }
        self.changes.push(Change { what, undo });
        Ok(())
    }

    fn iptables(&self, change: &Iptables) -> io::Result<Undo> {
        let (family, table, hook) = firewall::parts(change);
        let program = Program::find(family)?;
        let chain = Firewall::OfTheMachine { run: &self.header.run }.chain(hook);
        let table = table.name().to_owned();
        Ok(match change.rule() {
            Some(rule) => Undo::Rule { program, table, chain, rule },
            None => Undo::Chain { program, table, built_in: firewall::built_in(hook), chain },
        })
    }
}
