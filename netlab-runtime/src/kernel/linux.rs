//! The real kernel.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use netlab_topology::IfName;
use netlab_topology::plan::{Dev, Iptables, Step};
use netlink_packet_core::NetlinkSerializable;
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use super::calls::{Failure, Firewall, Kernel, MadeBy, Order, Request, Setting};
use super::socket::{NetlinkSocket, Refused};
use super::sysctl::Sysctls;
use super::{nft, watch};
use crate::machine::{self, Machine};
use crate::sys::{ioctl, namespace};

/// From how many namespaces on two threads make them: `unshare` scales to two processors, and no further
/// (`copy_net_ns` runs its initializers under `pernet_ops_rwsem`, shared).
const SPLIT_FROM: usize = 8;

/// Rules in one transaction, so that it stays within one `sendmsg`, which a transaction has to.
const NFT_MAX: usize = 100;

/// Descriptors that a space holds: its namespace and its netlink socket.
pub(super) const DESCRIPTORS: usize = 2;

/// Descriptors left to the test when the limit is raised: runtimes, sockets, pipes.
const SPARE_DESCRIPTORS: u64 = 1024;

/// The kernel this process runs on, and the machine, if the lab may touch that.
#[derive(Debug, Default)]
pub(crate) struct Linux<'m>(pub(crate) Option<OnTheMachine<'m>>);

/// What a lab on the machine's own network is built with.
pub(crate) struct OnTheMachine<'m> {
    /// The machine, which the plan is bound to.
    pub(crate) machine: &'m mut Machine,
    /// Has the runner keep the namespace of the place of this name, and returns when it does.
    pub(crate) keep: &'m dyn Fn(&str, BorrowedFd<'_>) -> io::Result<()>,
}

impl fmt::Debug for OnTheMachine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnTheMachine").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<'m> Linux<'m> {
    fn on_the_machine(&mut self) -> io::Result<&mut OnTheMachine<'m>> {
        self.0.as_mut().ok_or_else(|| io::ErrorKind::PermissionDenied.into())
    }
}

/// A network namespace with the netlink sockets that were opened in it.
#[derive(Debug)]
pub(crate) struct Space {
    net: OwnedFd,
    route: NetlinkSocket,
    nft: Option<NetlinkSocket>,
}

impl Space {
    /// The namespace of the calling thread.
    fn current(nft: bool) -> io::Result<Self> {
        Ok(Self {
            net: namespace::current_net()?,
            route: NetlinkSocket::open(NETLINK_ROUTE)?,
            nft: if nft { Some(NetlinkSocket::open(NETLINK_NETFILTER)?) } else { None },
        })
    }

    /// Runs `work` with the calling thread in the namespace.
    fn visit<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let home = namespace::current_net()?;
        namespace::excursion(home.as_fd(), || {
            namespace::enter_net(self.net.as_fd())?;
            work()
        })
    }

    /// The namespace and its route socket.
    pub(crate) fn into_parts(self) -> (OwnedFd, NetlinkSocket) {
        (self.net, self.route)
    }
}

impl AsFd for Space {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }
}

impl Kernel for Linux<'_> {
    type Space = Space;

    fn host(&mut self, places: usize) -> io::Result<Space> {
        raise_descriptor_limit(places);
        Space::current(false)
    }

    fn machine(&mut self) -> io::Result<Space> {
        let machine = &self.on_the_machine()?.machine;
        let home = namespace::current_net()?;
        namespace::excursion(home.as_fd(), || {
            namespace::enter_net(machine.namespace())?;
            Space::current(false)
        })
    }

    fn record(&mut self, steps: &[&Step]) -> io::Result<()> {
        Ok(self.on_the_machine()?.machine.record(steps)?)
    }

    fn keep(&mut self, space: &Space, name: &str) -> io::Result<()> {
        (self.on_the_machine()?.keep)(name, space.as_fd())
    }

    fn take_nic(&mut self, _machine: &mut Space, nic: &Dev, to: &Space, dev: &Dev) -> io::Result<()> {
        self.on_the_machine()?.machine.take_nic(nic, to.as_fd(), dev)
    }

    fn plug_nic(&mut self, _machine: &mut Space, nic: &Dev, bridge: &Dev, takeover: bool) -> io::Result<()> {
        self.on_the_machine()?.machine.plug_nic(nic, bridge, takeover)
    }

    fn iptables(&mut self, space: &mut Space, of: Firewall, change: &Iptables) -> io::Result<()> {
        let firewall = match of {
            Firewall::TheMachines => self.on_the_machine()?.machine.firewall(),
            Firewall::OfANode => machine::Firewall::OfANode,
        };
        // A program starts in the namespace of the thread that starts it.
        space.visit(|| firewall.change(change))
    }

    fn make(&mut self, host: &Space, orders: &[Order<'_>]) -> Result<Vec<Space>, Failure> {
        let half = if orders.len() < SPLIT_FROM { 0 } else { orders.len() / 2 };
        let (left, right) = orders.split_at(half);
        let here = || namespace::excursion(host.as_fd(), || make(right));
        if left.is_empty() {
            return here();
        }
        let (left, right) = std::thread::scope(|scope| {
            let left =
                std::thread::Builder::new().name("netlab-make".to_owned()).spawn_scoped(scope, || make(left));
            let left = left.map_err(|error| Failure::new(orders[0].step, error))?;
            let right = here();
            Ok((left.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), right))
        })?;
        let mut made = left?;
        made.extend(right?);
        Ok(made)
    }

    fn set_sysctls(&mut self, space: &mut Space, settings: &[Setting<'_>]) -> Result<(), Failure> {
        let first = settings[0].step;
        space.visit(|| Ok(set_sysctls(settings))).map_err(|error| Failure::new(first, error))?
    }

    fn send_route(
        &mut self,
        space: &mut Space,
        requests: Vec<Request<RouteNetlinkMessage>>,
    ) -> Result<(), Failure> {
        send(&mut space.route, requests)
    }

    fn send_nft(
        &mut self,
        space: &mut Space,
        mut requests: Vec<Request<NetfilterMessage>>,
    ) -> Result<(), Failure> {
        let first = requests[0].step;
        let mut socket = match space.nft.take() {
            Some(socket) => socket,
            // The host, which nobody made.
            None => space
                .visit(|| NetlinkSocket::open(NETLINK_NETFILTER))
                .map_err(|error| Failure::new(first, error))?,
        };
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(NFT_MAX));
            let steps: Vec<_> = requests.iter().map(|request| request.step).collect();
            let messages = requests.into_iter().map(|request| (request.flags, request.message));
            socket
                .transaction(nft::begin(), messages, nft::end())
                .map_err(|refused| failure(&steps, refused))?;
            requests = rest;
        }
        Ok(())
    }

    fn disable_offload(&mut self, space: &mut Space, device: &IfName) -> io::Result<()> {
        // Any socket of the namespace takes device requests (`sock_do_ioctl`).
        ioctl::disable_offload(&space.route, device)
    }

    fn wait_until_up<'a>(
        &mut self,
        space: &mut Space,
        devices: &[&'a Dev],
        made_by: MadeBy,
    ) -> io::Result<Option<&'a Dev>> {
        watch::wait_until_up(&mut space.route, devices, made_by)
    }

    fn wait_until_settled(&mut self, space: &mut Space, these: Option<&[u32]>) -> io::Result<Option<IpAddr>> {
        watch::wait_until_settled(&mut space.route, these)
    }

    fn descriptor(space: &Space) -> RawFd {
        space.net.as_raw_fd()
    }
}

fn make(orders: &[Order<'_>]) -> Result<Vec<Space>, Failure> {
    let mut made = Vec::with_capacity(orders.len());
    for order in orders {
        let space = namespace::unshare_net().and_then(|()| Space::current(order.nft));
        made.push(space.map_err(|error| Failure::new(order.step, error))?);
        set_sysctls(&order.settings)?;
    }
    Ok(made)
}

fn set_sysctls(settings: &[Setting<'_>]) -> Result<(), Failure> {
    let mut sysctls = Sysctls::default();
    settings.iter().try_for_each(|setting| {
        sysctls.ensure(setting.key, setting.value).map_err(|error| Failure::new(setting.step, error))
    })
}

fn send<M: NetlinkSerializable>(
    socket: &mut NetlinkSocket,
    requests: Vec<Request<M>>,
) -> Result<(), Failure> {
    let steps: Vec<_> = requests.iter().map(|request| request.step).collect();
    let messages = requests.into_iter().map(|request| (request.flags, request.message));
    socket.batch(messages).map_err(|refused| failure(&steps, refused))
}

fn failure(steps: &[usize], Refused { request, error, detail }: Refused) -> Failure {
    Failure { step: steps[request], error, detail }
}

/// Makes room for the descriptors of a lab, up to the hard limit: two descriptors a node soon pass the 1,024 that a
/// process has by default. Not more than that, since programs started in a node inherit the limit.
fn raise_descriptor_limit(places: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = (places * DESCRIPTORS) as u64 + SPARE_DESCRIPTORS;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted.min(hard)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)
    {
        tracing::warn!("the descriptor limit stays at {soft}: {error}");
    }
}
