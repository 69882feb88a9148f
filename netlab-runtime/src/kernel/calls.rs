//! What the executor asks of the kernel, and what it is told: the one way by which a build changes the system.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

use netlab_topology::IfName;
use netlab_topology::plan::{Dev, Iptables, Step};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;

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
