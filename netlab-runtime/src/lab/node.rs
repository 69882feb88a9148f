//! Nodes.

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use netlab_topology::plan::{PlannedNode, Wire};
use netlink_sys::protocols::NETLINK_NETFILTER;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::endpoint::{ToDestination, ToEndpoint};
use super::state::{Entry, State};
use super::{Command, Counters, LabError, Net, Ping, socket, template};
use crate::kernel::inspect::{self, Flow, Interface, Neighbour, Route, Socket};
use crate::kernel::{Arp, NetlinkSocket, Sysctls, add_address, forget_flows};
use crate::sys::{namespace, sockopt};

/// A node of a lab: a network namespace with a name.
///
/// A clone is another handle to the same node.
#[derive(Clone)]
pub struct Node {
    state: Arc<State>,
    index: usize,
}

impl Node {
    pub(super) fn new(state: &Arc<State>, index: usize) -> Self {
        Self { state: Arc::clone(state), index }
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    fn plan(&self) -> &PlannedNode {
        self.state.node(self.index)
    }

    fn error(&self, what: impl fmt::Display, error: io::Error) -> LabError {
        LabError::io(format!("node `{}`: {what}", self.name()), error)
    }

    /// Its name in the topology; a member of an array has its number behind, from 1.
    pub fn name(&self) -> &str {
        &self.plan().name
    }

    /// Its first address: that of its first interface, IPv4 if it has one there.
    ///
    /// # Panics
    ///
    /// The node has no address: it is on no net and no link. See [`addrs`](Self::addrs).
    #[track_caller]
    pub fn addr(&self) -> IpAddr {
        let mut addrs = self.addrs();
        addrs.sort_by_key(IpAddr::is_ipv6);
        self.first(addrs, "address")
    }

    /// Its first IPv4 address.
    ///
    /// # Panics
    ///
    /// The node has no IPv4 address.
    #[track_caller]
    pub fn addr4(&self) -> Ipv4Addr {
        let addrs = self.addrs().into_iter().filter_map(|addr| match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        });
        self.first(addrs, "IPv4 address")
    }

    /// Its first IPv6 address.
    ///
    /// # Panics
    ///
    /// The node has no IPv6 address.
    #[track_caller]
    pub fn addr6(&self) -> Ipv6Addr {
        let addrs = self.addrs().into_iter().filter_map(|addr| match addr {
            IpAddr::V4(_) => None,
            IpAddr::V6(addr) => Some(addr),
        });
        self.first(addrs, "IPv6 address")
    }

    #[track_caller]
    fn first<T>(&self, addrs: impl IntoIterator<Item = T>, what: &str) -> T {
        match addrs.into_iter().next() {
            Some(addr) => addr,
            None => panic!("node `{}` has no {what}: the topology gives it none", self.name()),
        }
    }

    /// Its addresses in the order of the topology: those of its interfaces, then the extra ones on `lo`.
    pub fn addrs(&self) -> Vec<IpAddr> {
        let wired = self.plan().interfaces.iter().flat_map(|interface| &interface.addrs);
        wired.chain(&self.plan().loopback).map(IpNet::addr).collect()
    }

    /// Whether it is the machine itself (`node host real`), where what is changed is not gone with the lab.
    pub fn is_the_machine(&self) -> bool {
        self.state.plan.machine() == Some(self.plan().place)
    }

    /// Its first address on a net, IPv4 if it has one there.
    ///
    /// # Errors
    ///
    /// The node is not on the net; says which nets it is on.
    pub fn addr_on(&self, net: &Net) -> Result<IpAddr, LabError> {
        let interfaces = &self.plan().interfaces;
        let on_net = interfaces.iter().filter(|interface| interface.wire == Wire::Net(net.index()));
        let mut addrs: Vec<_> = on_net.flat_map(|interface| &interface.addrs).map(IpNet::addr).collect();
        addrs.sort_by_key(IpAddr::is_ipv6);
        addrs.first().copied().ok_or_else(|| {
            let nets = interfaces.iter().filter_map(|interface| match interface.wire {
                Wire::Net(net) => Some(self.state.plan.nets()[net].name.as_str()),
                Wire::Link(_) | Wire::Nic(_) => None,
            });
            let nets: Vec<_> = nets.collect();
            let nets = if nets.is_empty() {
                "it is on none".to_owned()
            } else {
                format!("its nets: {}", nets.join(", "))
            };
            LabError::msg(format!("node `{}` has no address on net `{}`; {nets}", self.name(), net.name()))
        })
    }

    /// Its interfaces as the kernel has them, `lo` included, by index.
    ///
    /// By hand: `ip addr`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn ifaces(&self) -> Result<Vec<Interface>, LabError> {
        self.state.interfaces(self.plan().place)
    }

    /// The interface of this name as the kernel has it.
    ///
    /// By hand: `ip addr show dev NAME`.
    ///
    /// # Errors
    ///
    /// The node has no such interface; says which it has.
    pub fn iface(&self, name: &str) -> Result<Interface, LabError> {
        let interfaces = self.ifaces()?;
        let names: Vec<_> = interfaces.iter().map(|interface| interface.name.clone()).collect();
        interfaces.into_iter().find(|interface| interface.name == name).ok_or_else(|| {
            let names = names.join(", ");
            LabError::msg(format!(
                "node `{}` has no interface `{name}`; interfaces there: {names}",
                self.name()
            ))
        })
    }

    /// Its main routing tables as the kernel has them, IPv4 first.
    ///
    /// By hand: `ip route; ip -6 route`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn routes(&self) -> Result<Vec<Route>, LabError> {
        let place = self.plan().place;
        let names = self.state.interface_names(place)?;
        self.state.ask(place, "its routes cannot be read", |socket| inspect::routes(socket, &names))
    }

    /// Its neighbour tables as the kernel has them.
    ///
    /// By hand: `ip neigh`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, LabError> {
        let place = self.plan().place;
        let names = self.state.interface_names(place)?;
        self.state.ask(place, "its neighbours cannot be read", |socket| inspect::neighbours(socket, &names))
    }

    /// Has its kernel forget its neighbours, and look for them again when it needs them.
    ///
    /// By hand: `ip link set DEV arp off`, and `on`, for each interface that the topology gives it; as `ip neigh flush all`, but
    /// entries that somebody made permanent go as well.
    ///
    /// # Errors
    ///
    /// The kernel refused it. The node is the machine itself, whose neighbours are not netlab's to forget.
    pub fn forget_neighbours(&self) -> Result<(), LabError> {
        if self.is_the_machine() {
            let name = self.name();
            return Err(LabError::msg(format!(
                "node `{name}` is the machine: its neighbours are not forgotten"
            )));
        }
        self.state.forget_neighbours(self.plan(), Arp::On)
    }

    /// Its firewall as the kernel has it, as lines.
    ///
    /// By hand: `nft list ruleset`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn rules(&self) -> Result<Vec<String>, LabError> {
        self.state.rules(self.plan().place)
    }

    /// Its TCP and UDP sockets as the kernel has them, TCP first, by port.
    ///
    /// By hand: `ss -tuan`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question, or was built without `inet_diag` (`CONFIG_INET_DIAG`, `CONFIG_INET_UDP_DIAG`).
    pub fn sockets(&self) -> Result<Vec<Socket>, LabError> {
        self.state.sockets(self.plan().place)
    }

    /// What its kernel has counted by interface, queueing discipline and firewall rule, and, by [`Counters::changed`], how
    /// that has changed since.
    ///
    /// By hand: `ip -s link; tc -s qdisc; nft list ruleset`.
    ///
    /// # Errors
    ///
    /// The kernel refused a question.
    pub fn counters(&self) -> Result<Counters, LabError> {
        let place = self.plan().place;
        let what = "its counters cannot be read";
        let interfaces = self.state.ask(place, what, inspect::interface_counters)?;
        let names = self.state.interface_names(place)?;
        let qdiscs = self.state.ask(place, what, |socket| inspect::qdisc_counters(socket, &names))?;
        let rules = inspect::rule_counters(&self.rules()?);
        let unread = self.state.in_place(place, inspect::legacy_tables);
        let unread =
            unread.map_err(|error| self.error("its tables of iptables-legacy cannot be listed", error))?;
        Ok(Counters::new(self.clone(), interfaces, qdiscs, rules, unread))
    }

    /// The connections that its kernel tracks, as it does for NAT.
    ///
    /// By hand: `conntrack -L`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question, or has no ctnetlink (`CONFIG_NF_CT_NETLINK`).
    pub fn conntrack(&self) -> Result<Vec<Flow>, LabError> {
        self.state.conntrack(self.plan().place)
    }

    /// Has its kernel forget tracked connections, and says how many it forgot: the next packet of one is a first packet again, for
    /// which a balancer's rules choose anew. Rules that change do not do that by themselves.
    ///
    /// By hand: `conntrack -D`, with options that say which.
    ///
    /// # Errors
    ///
    /// As [`conntrack`](Self::conntrack). The node is the machine itself, whose connections are not netlab's to cut.
    pub fn forget_flows(&self, which: impl Fn(&Flow) -> bool + Sync) -> Result<usize, LabError> {
        let place = self.plan().place;
        if self.is_the_machine() {
            let name = self.name();
            return Err(LabError::msg(format!("node `{name}` is the machine: its connections are not cut")));
        }
        let forgotten = self.state.in_place(place, || {
            let mut socket = NetlinkSocket::open(NETLINK_NETFILTER)?;
            forget_flows(&mut socket, &which)
        });
        forgotten.map_err(|error| self.error("`conntrack -D`", error))
    }

    /// The value of a sysctl in the node.
    ///
    /// By hand: `sysctl -n KEY`. A `/` in the key stands for a dot within a name, as there.
    ///
    /// # Errors
    ///
    /// The kernel has no such key.
    pub fn sysctl(&self, key: &str) -> Result<String, LabError> {
        let value = self.state.in_place(self.plan().place, || Sysctls::default().read(key));
        value.map_err(|error| self.error(format_args!("`sysctl -n {key}`"), error))
    }

    /// Sets a sysctl in the node.
    ///
    /// By hand: `sysctl -w KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// The kernel has no such key, or does not take the value.
    pub fn set_sysctl(&self, key: &str, value: impl fmt::Display) -> Result<(), LabError> {
        let value = value.to_string();
        let done = self.state.in_place(self.plan().place, || Sysctls::default().write(key, &value));
        done.map_err(|error| self.error(format_args!("`sysctl -w {key}={value}`"), error))
    }

    /// Gives one of its interfaces an address more, and returns when it can be used: `("lo", "10.1.0.80".parse()?)`, or with the
    /// prefix length, `"10.1.0.80/24"`, as an [`IpNet`]. Without one the address stands alone (`/32`, `/128`).
    ///
    /// Nobody else in the lab is told: routes to it are those of the topology, and [`addrs`](Self::addrs) does not have it.
    ///
    /// By hand: `ip addr add ADDR dev IF`.
    ///
    /// # Errors
    ///
    /// The node has no such interface, or it has the address already. The node is the machine itself, whose addresses netlab
    /// changes only where the topology says so, or nobody could undo it.
    pub fn add_address(&self, iface: &str, addr: impl Into<IpNet>) -> Result<(), LabError> {
        let addr = addr.into();
        let place = self.plan().place;
        if self.is_the_machine() {
            let name = self.name();
            return Err(LabError::msg(format!(
                "node `{name}` is the machine: write `{addr}` in the topology, so that it is taken away again"
            )));
        }
        let index = self.iface(iface)?.index;
        let what = format!("`ip addr add {addr} dev {iface}`");
        self.state.ask(place, &what, |socket| add_address(socket, index, addr))
    }

    /// What its kernel takes to be the largest packet that gets to an address, in bytes with the IP header: the MTU of the interface
    /// that leads there, or less where a router has said so (RFC 1191, RFC 8201).
    ///
    /// Nothing is sent. To find out what really gets through, see [`Expectations::mtu`](super::Expectations::mtu).
    ///
    /// By hand: `ip route get TO`.
    ///
    /// # Errors
    ///
    /// There is no way to the address.
    pub fn path_mtu(&self, to: IpAddr) -> Result<u32, LabError> {
        /// Any would do: a datagram socket that is connected sends nothing by that.
        const DISCARD: u16 = 9;
        let found = self.state.in_place(self.plan().place, || {
            let any =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
            let socket = std::net::UdpSocket::bind((any, 0))?;
            socket.connect((to, DISCARD))?;
            sockopt::path_mtu(socket.as_fd(), to.is_ipv6())
        });
        found.map_err(|error| self.error(format_args!("`ip route get {to}`"), error))
    }

    /// Sends an ICMP echo request: `node.ping(&other).await?`, or `node.ping("8.8.8.8").blocking()?`.
    ///
    /// By hand: `ping -c 1 TO`.
    ///
    /// # Errors
    ///
    /// When awaited: no reply came; [`PingError::kind`](super::PingError::kind) says why.
    pub fn ping(&self, to: impl ToDestination) -> Ping {
        Ping::new(self.clone(), to.to_destination())
    }

    /// Listens for TCP connections in the node, once this returns. The listener may be used from any runtime.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn tcp_listener(&self, on: impl ToEndpoint) -> io::Result<TcpListener> {
        socket::tcp_listener(self, on).await
    }

    /// Opens a TCP connection from the node. The stream may be used from any runtime.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`]; of a name with several addresses the error of the last.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn tcp_connect(&self, to: impl ToEndpoint) -> io::Result<TcpStream> {
        socket::tcp_connect(self, to).await
    }

    /// Opens a UDP socket in the node. It may be used from any runtime.
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::bind`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn udp_socket(&self, on: impl ToEndpoint) -> io::Result<UdpSocket> {
        socket::udp_socket(self, on).await
    }

    /// The way into its network, for what outlives the caller and must not keep the lab alive.
    pub(crate) fn network(&self) -> Entry {
        self.state.network_entry(self.index)
    }

    /// The runtime of its own thread, which is started when it is first wanted. What runs there ends with the lab, provided
    /// that it holds no handle to it.
    pub(crate) fn runtime(&self) -> io::Result<Handle> {
        self.state.thread(self.index).map(|thread| thread.runtime().clone())
    }

    /// Runs a future in the node, on its own thread with its own runtime. All sockets it makes are the node's.
    ///
    /// What it panics with is given by the handle, as with [`tokio::spawn`].
    ///
    /// # Panics
    ///
    /// The node's thread, which is started when it is first wanted, could not be.
    ///
    /// # Teardown
    ///
    /// The task is dropped with the lab.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.state.thread(self.index) {
            Ok(thread) => thread.spawn(future),
            Err(error) => panic!("the thread of node `{}` could not be started: {error}", self.name()),
        }
    }

    /// Runs a closure in the node, on a fresh thread, and waits for it. It may borrow; all sockets it makes are the node's.
    ///
    /// It blocks the calling thread: in an async test, use [`spawn`](Self::spawn) for what takes long.
    ///
    /// By hand: `ip netns exec NODE ...`.
    ///
    /// # Panics
    ///
    /// The closure panicked: the panic goes on. The thread could not be made.
    #[track_caller]
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let outcome = self.state.entry(self.index).and_then(|entry| {
            namespace::on_thread(self.name(), || {
                entry.enter()?;
                Ok(work())
            })
            .flatten()
        });
        match outcome {
            Ok(result) => result,
            Err(error) => panic!("node `{}` could not be entered: {error}", self.name()),
        }
    }

    /// The node's own folder, for files of its programs; `{node.dir}` in [`file`](Self::file), `NETLAB_NODE_DIR` to its programs.
    ///
    /// It is in memory, in the sandbox: nobody outside sees it, and it goes with the test. Every node sees the folders of all,
    /// and anybody may write to them.
    ///
    /// # Errors
    ///
    /// It cannot be made: there is no empty directory that the sandbox's `tmpfs` could lie on; the message names those that
    /// were looked at.
    pub fn dir(&self) -> Result<PathBuf, LabError> {
        let made = self.state.folder().and_then(|folder| folder.of_node(self.name()));
        made.map_err(|error| self.error("its folder cannot be made", error))
    }

    /// Writes a file to the node's folder, typically a program's configuration, and gives its path. Placeholders in the text
    /// are filled:
    ///
    /// | placeholder | |
    /// |---|---|
    /// | `{node.name}` | the node's name |
    /// | `{node.addr}` `{node.addr4}` `{node.addr6}` | its first address, as [`addr`](Self::addr), [`addr4`](Self::addr4), [`addr6`](Self::addr6) |
    /// | `{node.addr.lan}` `{node.addr4.lan}` `{node.addr6.lan}` | its first address on the net `lan` |
    /// | `{node.dir}` | its folder, as [`dir`](Self::dir) |
    /// | `{web1.name}` `{web1.addr}` ... | the same of the node `web1` |
    /// | `{web[*].name}` `{web[*].addr}` ... | the same of each node of the array `web`: the whole line is there once for each of them |
    /// | `{lan.subnet}` `{lan.subnet4}` `{lan.subnet6}` | the subnet of the net `lan` |
    /// | `{lab.name}` `{lab.dir}` | of the lab |
    ///
    /// So `server {web[*].name} {web[*].addr}:80 check` gives HAProxy a line for each of its servers, and
    /// `server {web[*].addr}:80;` gives one to nginx. The line is repeated whole: in `upstream app { server {web[*].addr}; }`, where it
    /// begins and ends more than that, it is to be a line of its own.
    ///
    /// Other braces stay as they are, since a placeholder is a name, a dot and what is wanted, without blanks, and not after a
    /// `$`. Where a program's own language has the like, double the braces: `{{http.host}}` becomes `{http.host}`.
    ///
    /// # Errors
    ///
    /// A placeholder means nothing here; the message has all of them, with their lines and what there is. The file cannot be
    /// written.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf, LabError> {
        let text = template::fill(&self.state, self.index, name, text)?;
        let path = self.dir()?.join(name);
        let written = std::fs::write(&path, text);
        written.map_err(|error| self.error(format_args!("`{}`", path.display()), error))?;
        Ok(path)
    }

    /// A program to be started in the node: `node.command("nginx").arg("-v").output().await?`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self.clone(), program.as_ref())
    }
}

/// Whether they are the same node of the same lab.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state) && self.index == other.index
    }
}

impl Eq for Node {}

/// Its name.
impl From<&Node> for String {
    fn from(node: &Node) -> Self {
        node.name().to_owned()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.name())
    }
}
