//! A kernel that records what it is asked, and refuses what it is told to.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use netlab_topology::IfName;
use netlab_topology::plan::Dev;
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;

use super::apply::{Failure, Kernel, Order, Request, Setting};

/// What was asked of the kernel, in order.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The steps that were carried out, messages of one step counted once.
    pub(super) done: Vec<usize>,
    /// System calls, by what they are.
    pub(super) calls: Vec<&'static str>,
    /// Messages of `NETLINK_ROUTE` as they were sent.
    pub(super) route: Vec<RouteNetlinkMessage>,
    /// Namespaces made and not yet let go, the host not counted.
    pub(super) alive: usize,
}

#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) record: Rc<RefCell<Record>>,
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
    pub(super) fn refusing(step: usize, errno: i32) -> Self {
        Self { refuse: Some((step, errno)), ..Self::default() }
    }

    fn step(&self, step: usize) -> Result<(), Failure> {
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

    fn call(&self, name: &'static str) {
        self.record.borrow_mut().calls.push(name);
    }
}

impl Kernel for Fake {
    type Space = FakeSpace;

    fn host(&mut self, _places: usize) -> io::Result<FakeSpace> {
        Ok(FakeSpace { record: None, number: 1000 })
    }

    fn make(&mut self, orders: &[Order<'_>]) -> Result<Vec<FakeSpace>, Failure> {
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
        // The executor asks for one at a time and knows the step.
        let offload = super::sample::steps()
            .iter()
            .position(|step| matches!(step.op, netlab_topology::plan::Op::DisableOffload { .. }));
        self.step(offload.unwrap()).map_err(|failure| failure.error)
    }

    fn wait_until_up<'a>(
        &mut self,
        _space: &mut FakeSpace,
        devices: &[&'a Dev],
    ) -> io::Result<Option<&'a Dev>> {
        self.call("wait");
        Ok(devices.iter().find(|dev| Some(dev.name.as_str()) == self.late).copied())
    }

    fn wait_until_settled(&mut self, _space: &mut FakeSpace) -> io::Result<Option<IpAddr>> {
        self.call("settle");
        Ok(None)
    }

    fn descriptor(space: &FakeSpace) -> RawFd {
        space.number
    }
}
