//! The real kernel.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use netlab_topology::IfName;
use netlab_topology::plan::Dev;
use netlink_packet_core::NetlinkSerializable;
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use super::apply::{Failure, Kernel, Order, Request, Setting};
use super::socket::{NetlinkSocket, Refused};
use super::{nft, sysctl, watch};
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

/// The kernel this process runs on.
#[derive(Debug, Default)]
pub(crate) struct Linux;

/// A network namespace with the netlink socket that was opened in it.
#[derive(Debug)]
pub(crate) struct Space {
    net: OwnedFd,
    route: NetlinkSocket,
    /// Whether the thread that carries out the plan is in it.
    here: bool,
}

impl Space {
    /// The namespace of the calling thread.
    fn current() -> io::Result<Self> {
        Ok(Self { net: namespace::current_net()?, route: NetlinkSocket::open(NETLINK_ROUTE)?, here: false })
    }

    /// The namespace and its socket.
    pub(crate) fn into_parts(self) -> (OwnedFd, NetlinkSocket) {
        (self.net, self.route)
    }
}

impl AsFd for Space {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }
}

impl Kernel for Linux {
    type Space = Space;

    fn host(&mut self, places: usize) -> io::Result<Space> {
        raise_descriptor_limit(places);
        Ok(Space { here: true, ..Space::current()? })
    }

    fn make(&mut self, orders: &[Order<'_>]) -> Result<Vec<Space>, Failure> {
        let no_thread = |error| Failure::new(orders[0].step, error);
        let half = if orders.len() < SPLIT_FROM { 0 } else { orders.len() / 2 };
        let (left, right) = orders.split_at(half);
        let maker =
            |orders| move || namespace::on_thread("netlab-make", || make(orders)).map_err(no_thread)?;
        if left.is_empty() {
            return maker(right)();
        }
        let (left, right) = std::thread::scope(|scope| {
            let left = scope.spawn(maker(left));
            let right = maker(right)();
            (left.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), right)
        });
        let mut made = left?;
        made.extend(right?);
        Ok(made)
    }

    fn set_sysctls(&mut self, space: &mut Space, settings: &[Setting<'_>]) -> Result<(), Failure> {
        if space.here {
            return set_sysctls(settings);
        }
        let first = settings[0].step;
        namespace::on_thread("netlab-sysctl", || {
            namespace::enter_net(space.net.as_fd()).map_err(|error| Failure::new(first, error))?;
            set_sysctls(settings)
        })
        .map_err(|error| Failure::new(first, error))?
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
        let opened = namespace::on_thread("netlab-nft", || {
            namespace::enter_net(space.net.as_fd())?;
            NetlinkSocket::open(NETLINK_NETFILTER)
        });
        let mut socket = opened.flatten().map_err(|error| Failure::new(first, error))?;
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

    fn wait_until_up<'a>(&mut self, space: &mut Space, devices: &[&'a Dev]) -> io::Result<Option<&'a Dev>> {
        watch::wait_until_up(&mut space.route, devices)
    }

    fn wait_until_settled(&mut self, space: &mut Space) -> io::Result<Option<IpAddr>> {
        watch::wait_until_settled(&mut space.route)
    }

    fn descriptor(space: &Space) -> RawFd {
        space.net.as_raw_fd()
    }
}

fn make(orders: &[Order<'_>]) -> Result<Vec<Space>, Failure> {
    let mut made = Vec::with_capacity(orders.len());
    for order in orders {
        let space = namespace::unshare_net().and_then(|()| Space::current());
        made.push(space.map_err(|error| Failure::new(order.step, error))?);
        set_sysctls(&order.settings)?;
    }
    Ok(made)
}

fn set_sysctls(settings: &[Setting<'_>]) -> Result<(), Failure> {
    settings.iter().try_for_each(|setting| {
        sysctl::write(setting.key, setting.value).map_err(|error| Failure::new(setting.step, error))
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
