//! The executor: steps in their order, through as few system calls as there can be.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::time::Instant;

use netlab_topology::plan::{Op, Place, Step};

use super::calls::{Failure, Firewall, Kernel, Order, Request, Setting};
use super::error::BuildError;
use super::{hint, nft, ready, route};
use crate::log::{Topic, tell};

/// Carries out `steps`, and waits until what they made is usable. Gives the namespaces, in the order of `places`, of which
/// `machine` is the machine's own, if the lab touches it.
///
/// # Errors
///
/// The first step that the kernel refused. Every namespace that was made is let go; nothing is tried after it. What was done
/// to the machine is written down by then, and the runner's to undo.
pub(crate) fn apply<K: Kernel>(
    kernel: &mut K,
    lab: &str,
    places: &[String],
    machine: Option<Place>,
    steps: &[Step],
) -> Result<Vec<K::Space>, BuildError> {
    let started = Instant::now();
    tell(Topic::Labs, format_args!("lab `{lab}`: {} namespaces, {} operations", places.len(), steps.len()));
    let unopened = |place: Place| move |error| BuildError::host(lab, &places[place.0], error, places.len());
    let host = kernel.host(places.len()).map_err(unopened(Place::HOST))?;
    let beside = match machine {
        Some(place) if place != Place::HOST => Some(kernel.machine().map_err(unopened(place))?),
        _ => None,
    };
    let spaces = Vec::with_capacity(places.len());
    let mut executor = Executor { kernel, places, machine, steps, spaces, kept: BTreeSet::new() };
    executor.spaces.push(host);
    executor.run(beside).map_err(|stop| match stop {
        Stop::Refused(failure) => {
            let step = &steps[failure.step];
            let hint = hint::of(&step.op, &failure.error, places.len());
            BuildError::step(lab, &places[step.place.0], step, failure, hint)
        }
        Stop::Late(late) => BuildError::late(lab, &places[late.place.0], late),
    })?;
    tell(Topic::Labs, format_args!("lab `{lab}`: built in {:?}", started.elapsed()));
    Ok(executor.spaces)
}

/// Why carrying out the steps stops.
enum Stop {
    Refused(Failure),
    Late(ready::Late),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<ready::Late> for Stop {
    fn from(late: ready::Late) -> Self {
        Self::Late(late)
    }
}

struct Executor<'a, K: Kernel> {
    kernel: &'a mut K,
    places: &'a [String],
    machine: Option<Place>,
    steps: &'a [Step],
    spaces: Vec<K::Space>,
    /// Places whose namespaces are kept beyond the end of the sandbox.
    kept: BTreeSet<usize>,
}

impl<K: Kernel> Executor<'_, K> {
    /// `beside` is the machine's namespace, if it is none of those to be made and not the host.
    fn run(&mut self, beside: Option<K::Space>) -> Result<(), Stop> {
        let mut next = self.make_namespaces()?;
        self.spaces.extend(beside);
        assert_eq!(
            self.spaces.len(),
            self.places.len(),
            "a plan makes the namespace of every place before anything else"
        );
        let ports = ready::ports(self.steps);
        while next < self.steps.len() {
            let end =
                next + self.steps[next..].iter().take_while(|step| together(&self.steps[next], step)).count();
            ready::wait_for_ports(self.kernel, &ports, next..end, self.steps, &mut self.spaces)?;
            self.keep_and_record(next..end)?;
            self.tell(next..end);
            self.batch(next..end)?;
            next = end;
        }
        Ok(ready::wait(self.kernel, self.machine, self.steps, &mut self.spaces)?)
    }

    /// Tells of what is about to be asked of the kernel.
    fn tell(&self, range: Range<usize>) {
        for Step { place, op } in &self.steps[range] {
            tell(Topic::Ops, format_args!("{}: {op}", self.places[place.0]));
        }
    }

    /// What has to be safe before steps may change the machine: where its interfaces go, and how all of it is undone.
    fn keep_and_record(&mut self, range: Range<usize>) -> Result<(), Failure> {
        let first = range.start;
        let Some(machine) = self.machine else { return Ok(()) };
        let steps: Vec<&Step> = self.steps[range].iter().filter(|step| concerns(step, machine)).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let not_done = |why: &'static str| {
            move |error: io::Error| {
                Failure::new(
                    first,
                    io::Error::new(error.kind(), format!("{why}, and so it was not done: {error}")),
                )
            }
        };
        for step in &steps {
            if let Op::TakeNic { to: Place(place), .. } | Op::AddMacvlan { peer_place: Place(place), .. } =
                step.op
                && self.kept.insert(place)
            {
                let kept = self.kernel.keep(&self.spaces[place], &self.places[place]);
                kept.map_err(not_done("its namespace could not be kept for the way back"))?;
            }
        }
        self.kernel.record(&steps).map_err(not_done("how to undo it could not be written down"))
    }

    /// The leading namespaces and sysctls, each namespace with its own: the thread that makes it is in it then.
    fn make_namespaces(&mut self) -> Result<usize, Failure> {
        let mut orders = Vec::new();
        let mut host = Vec::new();
        let mut count = 0;
        for (step, Step { place, op }) in self.steps.iter().enumerate() {
            match op {
                Op::AddNamespace { .. } => {
                    orders.push(Order { step, settings: Vec::new(), nft: false });
                    assert_eq!(place.0, orders.len(), "a plan makes namespaces in the order of its places");
                }
                Op::SetSysctl { key, value } => {
                    let settings =
                        if *place == Place::HOST { &mut host } else { &mut orders[place.0 - 1].settings };
                    settings.push(Setting { step, key, value });
                }
                _ => break,
            }
            count = step + 1;
        }
        for step in &self.steps[count..] {
            if matches!(step.op, Op::Nft(_)) && step.place != Place::HOST {
                orders[step.place.0 - 1].nft = true;
            }
        }
        self.tell(0..count);
        if !host.is_empty() {
            self.keep_and_record(0..count)?;
            self.kernel.set_sysctls(&mut self.spaces[0], &host)?;
        }
        if !orders.is_empty() {
            self.spaces.extend(self.kernel.make(&self.spaces[0], &orders)?);
        }
        Ok(count)
    }

    fn batch(&mut self, range: Range<usize>) -> Result<(), Failure> {
        let steps = self.steps;
        let batch = range.clone().zip(&steps[range.clone()]);
        let place = steps[range.start].place.0;
        match &steps[range.start].op {
            Op::SetSysctl { .. } => {
                let settings: Vec<_> = batch
                    .filter_map(|(step, Step { op, .. })| match op {
                        Op::SetSysctl { key, value } => Some(Setting { step, key, value }),
                        _ => None,
                    })
                    .collect();
                self.kernel.set_sysctls(&mut self.spaces[place], &settings)
            }
            Op::Nft(_) => {
                let requests = batch
                    .filter_map(|(step, Step { op, .. })| match op {
                        Op::Nft(change) => {
                            let (flags, message) = nft::message(change);
                            Some(Request { step, flags, message })
                        }
                        _ => None,
                    })
                    .collect();
                self.kernel.send_nft(&mut self.spaces[place], requests)
            }
            Op::DisableOffload { dev } => self
                .kernel
                .disable_offload(&mut self.spaces[place], &dev.name)
                .map_err(|error| Failure::new(range.start, error)),
            Op::Iptables(change) => {
                let of = if self.machine == Some(Place(place)) {
                    Firewall::TheMachines
                } else {
                    Firewall::OfANode
                };
                self.kernel
                    .iptables(&mut self.spaces[place], of, change)
                    .map_err(|error| Failure::new(range.start, error))
            }
            Op::TakeNic { nic, to, dev, .. } => {
                let [machine, to] = self
                    .spaces
                    .get_disjoint_mut([place, to.0])
                    .expect("a plan takes interfaces of the machine elsewhere");
                self.kernel.take_nic(machine, nic, to, dev).map_err(|error| Failure::new(range.start, error))
            }
            Op::PlugNic { nic, bridge, takeover, .. } => self
                .kernel
                .plug_nic(&mut self.spaces[place], nic, bridge, *takeover)
                .map_err(|error| Failure::new(range.start, error)),
            Op::AddNamespace { name } => {
                panic!("a plan makes every namespace first, but `{name}` comes later")
            }
            Op::AddBridge { .. }
            | Op::AddVeth { .. }
            | Op::DisableLinkLocal { .. }
            | Op::SetUp { .. }
            | Op::AddAddress { .. }
            | Op::AddRoute { .. }
            | Op::SetMaster { .. }
            | Op::AddMacvlan { .. } => {
                let spaces = &self.spaces;
                let descriptor = |place: Place| K::descriptor(&spaces[place.0]);
                let mut requests = Vec::with_capacity(range.len());
                for (step, op) in batch {
                    route::messages(op, descriptor, &mut |flags, message| {
                        requests.push(Request { step, flags, message });
                    });
                }
                self.kernel.send_route(&mut self.spaces[place], requests)
            }
        }
    }
}

/// Whether a step changes the machine's own namespace, be it with the far end of a wire.
fn concerns(step: &Step, machine: Place) -> bool {
    step.place == machine || matches!(step.op, Op::AddVeth { peer_place, .. } if peer_place == machine)
}

/// Whether two steps go into one system call.
fn together(first: &Step, other: &Step) -> bool {
    #[derive(PartialEq)]
    enum Kind {
        Sysctl,
        Route,
        Nft,
        /// One system call each.
        Single,
    }
    let kind = |op: &Op| match op {
        Op::SetSysctl { .. } => Kind::Sysctl,
        Op::Nft(_) => Kind::Nft,
        Op::AddNamespace { .. }
        | Op::DisableOffload { .. }
        | Op::Iptables(_)
        | Op::TakeNic { .. }
        | Op::PlugNic { .. } => Kind::Single,
        Op::AddBridge { .. }
        | Op::AddVeth { .. }
        | Op::DisableLinkLocal { .. }
        | Op::SetUp { .. }
        | Op::AddAddress { .. }
        | Op::AddRoute { .. }
        | Op::SetMaster { .. }
        | Op::AddMacvlan { .. } => Kind::Route,
    };
    std::ptr::eq(first, other)
        || (first.place == other.place
            && kind(&first.op) == kind(&other.op)
            && kind(&first.op) != Kind::Single)
}
