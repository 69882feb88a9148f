//! A kernel that records what it is asked, and refuses what it is told to.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use netlab_topology::IfName;
use netlab_topology::plan::{Dev, Iptables, Op, Place, Step};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;

use super::calls::{Failure, Firewall, Kernel, MadeBy, Order, Request, Setting};

/// What was asked of the kernel, in order.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The steps that were carried out, messages of one step counted once.
    pub(super) done: Vec<usize>,
    /// System calls, by what they are.
    pub(super) calls: Vec<&'static str>,
    /// Messages of `NETLINK_ROUTE` as they were sent.
    pub(super) route: Vec<RouteNetlinkMessage>,
    /// Steps of which it is written down how to undo them.
    pub(super) recorded: Vec<Step>,
    /// Namespaces to be kept.
    pub(super) kept: Vec<String>,
    /// Namespaces made and not yet let go, the host not counted.
    pub(super) alive: usize,
}

#[derive(Debug)]
pub(super) struct Fake {
    pub(super) record: Rc<RefCell<Record>>,
    /// What it will be asked.
    pub(super) steps: Vec<Step>,
    /// Which place is the machine.
    pub(super) machine: Option<Place>,
    /// Whether nothing more can be written down.
    pub(super) full: bool,
    /// The step to refuse, and how.
    pub(super) refuse: Option<(usize, i32)>,
    /// The device that never comes up.
    pub(super) late: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct FakeSpace {
    record: Option<Rc<RefCell<Record>>>,
    number: RawFd,
}

impl Drop for FakeSpace {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            record.borrow_mut().alive -= 1;
        }
    }
}

impl Fake {
    pub(super) fn of(steps: &[Step]) -> Self {
        Self {
            record: Rc::default(),
            steps: steps.to_vec(),
            machine: None,
            full: false,
            refuse: None,
            late: None,
        }
    }

    pub(super) fn refusing(steps: &[Step], step: usize, errno: i32) -> Self {
        Self { refuse: Some((step, errno)), ..Self::of(steps) }
    }

    fn step(&self, step: usize) -> Result<(), Failure> {
        let the = &self.steps[step];
        let on_the_machine = self.machine.is_some_and(|machine| {
            the.place == machine || matches!(the.op, Op::AddVeth { peer_place, .. } if peer_place == machine)
        });
        assert_eq!(
            self.record.borrow().recorded.contains(the),
            on_the_machine,
            "before it is done: {}",
            the.op
        );
        match self.refuse {
            Some((refused, errno)) if refused == step => {
                Err(Failure::new(step, io::Error::from_raw_os_error(errno)))
            }
            _ => {
                let done = &mut self.record.borrow_mut().done;
                if done.last() != Some(&step) {
                    done.push(step);
                }
                Ok(())
            }
        }
    }

    /// The executor asks for one of these at a time and knows the step.
    fn step_of(&self, is_it: impl Fn(&Op) -> bool) -> io::Result<()> {
        let step = self
            .steps
            .iter()
            .enumerate()
            .position(|(index, step)| is_it(&step.op) && !self.record.borrow().done.contains(&index));
        self.step(step.expect("only what is asked for is done")).map_err(|failure| failure.error)
    }

    fn call(&self, name: &'static str) {
        self.record.borrow_mut().calls.push(name);
    }
}

impl Kernel for Fake {
    type Space = FakeSpace;

    fn host(&mut self, _places: usize) -> io::Result<FakeSpace> {
        Ok(FakeSpace { record: None, number: 1000 })
    }

    fn machine(&mut self) -> io::Result<FakeSpace> {
        self.call("machine");
        Ok(FakeSpace { record: None, number: 2000 })
    }

    fn record(&mut self, steps: &[&Step]) -> io::Result<()> {
        self.call("record");
        if self.full {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let mut record = self.record.borrow_mut();
        for step in steps {
            assert!(!record.recorded.contains(step), "recorded twice: {}", step.op);
            record.recorded.push((*step).clone());
        }
        Ok(())
    }

    fn keep(&mut self, _space: &FakeSpace, name: &str) -> io::Result<()> {
        self.call("keep");
        self.record.borrow_mut().kept.push(name.to_owned());
        Ok(())
    }

    fn take_nic(
        &mut self,
        _machine: &mut FakeSpace,
        nic: &Dev,
        _to: &FakeSpace,
        _dev: &Dev,
    ) -> io::Result<()> {
        self.call("take");
        self.step_of(|op| matches!(op, Op::TakeNic { nic: other, .. } if other == nic))
    }

    fn plug_nic(
        &mut self,
        _machine: &mut FakeSpace,
        nic: &Dev,
        _bridge: &Dev,
        _takeover: bool,
    ) -> io::Result<()> {
        self.call("plug");
        self.step_of(|op| matches!(op, Op::PlugNic { nic: other, .. } if other == nic))
    }

    fn iptables(&mut self, _space: &mut FakeSpace, of: Firewall, change: &Iptables) -> io::Result<()> {
        self.call(if of == Firewall::TheMachines { "iptables of the machine" } else { "iptables" });
        self.step_of(|op| matches!(op, Op::Iptables(other) if other == change))
    }

    fn make(&mut self, _host: &FakeSpace, orders: &[Order<'_>]) -> Result<Vec<FakeSpace>, Failure> {
        self.call("make");
        let mut made = Vec::new();
        for order in orders {
            self.step(order.step)?;
            self.record.borrow_mut().alive += 1;
            made.push(FakeSpace {
                record: Some(Rc::clone(&self.record)),
                number: 1001 + made.len() as RawFd,
            });
            order.settings.iter().try_for_each(|setting| self.step(setting.step))?;
        }
        Ok(made)
    }

    fn set_sysctls(&mut self, _space: &mut FakeSpace, settings: &[Setting<'_>]) -> Result<(), Failure> {
        self.call("sysctl");
        settings.iter().try_for_each(|setting| self.step(setting.step))
    }

    fn send_route(
        &mut self,
        _space: &mut FakeSpace,
        requests: Vec<Request<RouteNetlinkMessage>>,
    ) -> Result<(), Failure> {
        self.call("route");
        for request in requests {
            self.step(request.step)?;
            self.record.borrow_mut().route.push(request.message);
        }
        Ok(())
    }

    fn send_nft(
        &mut self,
        _space: &mut FakeSpace,
        requests: Vec<Request<NetfilterMessage>>,
    ) -> Result<(), Failure> {
        self.call("nft");
        requests.iter().try_for_each(|request| self.step(request.step))
    }

    fn disable_offload(&mut self, _space: &mut FakeSpace, _device: &IfName) -> io::Result<()> {
        self.call("offload");
        self.step_of(|op| matches!(op, Op::DisableOffload { .. }))
    }

    fn wait_until_up<'a>(
        &mut self,
        _space: &mut FakeSpace,
        devices: &[&'a Dev],
        _made_by: MadeBy,
    ) -> io::Result<Option<&'a Dev>> {
        self.call("wait");
        Ok(devices.iter().find(|dev| Some(dev.name.as_str()) == self.late).copied())
    }

    fn wait_until_settled(
        &mut self,
        _space: &mut FakeSpace,
        _these: Option<&[u32]>,
    ) -> io::Result<Option<IpAddr>> {
        self.call("settle");
        Ok(None)
    }

    fn descriptor(space: &FakeSpace) -> RawFd {
        space.number
    }
}
