//! The executor: steps in their order, through as few system calls as there can be.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::RawFd;
use std::time::Instant;

use netlab_topology::IfName;
use netlab_topology::plan::{Dev, Iptables, Op, Place, Step};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;

use super::error::BuildError;
use super::{hint, nft, ready, route};
use crate::log::{Topic, tell};

/// What the executor needs of the kernel: the single funnel of everything that changes the system.
pub(crate) trait Kernel {
    /// A network namespace, held open: when this is dropped, so is the namespace.
    type Space;

    /// The namespace of the calling thread, which is to be the first of `places`.
    fn host(&mut self, places: usize) -> io::Result<Self::Space>;

    /// The machine's own namespace, where that is not the host.
    fn machine(&mut self) -> io::Result<Self::Space>;

    /// Writes down how to undo steps that change the machine's own network, which are about to be carried out.
    fn record(&mut self, steps: &[&Step]) -> io::Result<()>;

    /// Has a namespace kept, under this name, beyond the end of the sandbox: an interface of the machine is to go there.
    fn keep(&mut self, space: &Self::Space, name: &str) -> io::Result<()>;

    /// Moves an interface of the machine into another namespace, as `dev`.
    fn take_nic(
        &mut self,
        machine: &mut Self::Space,
        nic: &Dev,
        to: &Self::Space,
        dev: &Dev,
    ) -> io::Result<()>;

    /// Makes an interface of the machine a port of a bridge.
    fn plug_nic(
        &mut self,
        machine: &mut Self::Space,
        nic: &Dev,
        bridge: &Dev,
        takeover: bool,
    ) -> io::Result<()>;

    /// Changes a namespace's firewall with the program `iptables`.
    fn iptables(&mut self, space: &mut Self::Space, of: Firewall, change: &Iptables) -> io::Result<()>;

    /// Makes namespaces, each with the sysctls that come first in it; the calling thread stays in `host`.
    fn make(&mut self, host: &Self::Space, orders: &[Order<'_>]) -> Result<Vec<Self::Space>, Failure>;

    /// Sets sysctls in a namespace.
    fn set_sysctls(&mut self, space: &mut Self::Space, settings: &[Setting<'_>]) -> Result<(), Failure>;

    /// Sends messages of `NETLINK_ROUTE`.
    fn send_route(
        &mut self,
        space: &mut Self::Space,
        requests: Vec<Request<RouteNetlinkMessage>>,
    ) -> Result<(), Failure>;

    /// Sends messages of nf_tables, all of them or none being done.
    fn send_nft(
        &mut self,
        space: &mut Self::Space,
        requests: Vec<Request<NetfilterMessage>>,
    ) -> Result<(), Failure>;

    /// Turns transmit offloads of a device off.
    fn disable_offload(&mut self, space: &mut Self::Space, device: &IfName) -> io::Result<()>;

    /// Waits until devices are up in operation; gives the first that did not come up.
    fn wait_until_up<'a>(
        &mut self,
        space: &mut Self::Space,
        devices: &[&'a Dev],
        made_by: MadeBy,
    ) -> io::Result<Option<&'a Dev>>;

    /// Waits until no IPv6 address is tentative, on any device or on `these`; gives one that stayed so.
    fn wait_until_settled(
        &mut self,
        space: &mut Self::Space,
        these: Option<&[u32]>,
    ) -> io::Result<Option<IpAddr>>;

    /// The descriptor of a namespace, for `IFLA_NET_NS_FD`.
    fn descriptor(space: &Self::Space) -> RawFd;
}

/// Where an interface comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MadeBy {
    /// The lab made it.
    TheLab,
    /// It is the machine's.
    Others,
}

/// Whose firewall it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firewall {
    /// The machine's, where chains are named for the run.
    TheMachines,
    /// A node's own.
    OfANode,
}

/// A namespace to be made.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) step: usize,
    pub(crate) settings: Vec<Setting<'a>>,
    /// Whether the firewall will be changed there.
    pub(crate) nft: bool,
}

/// A sysctl to be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) step: usize,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

/// A message, with the step it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Request<M> {
    pub(crate) step: usize,
    pub(crate) flags: u16,
    pub(crate) message: M,
}

/// What the kernel refused.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: usize,
    pub(crate) error: io::Error,
    pub(crate) detail: Option<String>,
}

impl Failure {
    pub(crate) fn new(step: usize, error: io::Error) -> Self {
        Self { step, error, detail: None }
    }
}

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
