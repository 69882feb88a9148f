//! What is behind the handles of a lab.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use netlab_topology::Plan;
use netlab_topology::plan::{Place, PlannedNode};
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_SOCK_DIAG};
use once_cell::sync::OnceCell;

use super::LabError;
use super::folder::Folder;
use super::program::Supervisor;
use super::thread::NodeThread;
use crate::kernel::inspect::{self, Flow, Interface, Names, Socket};
use crate::kernel::{self, Arp, NetlinkSocket, Space};
use crate::sys::namespace::{self, View};

/// A lab: its plan, and its namespaces held open.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) plan: Plan,
    /// In the order of [`Plan::places`].
    spaces: Vec<LiveSpace>,
    /// In the order of [`Plan::nodes`].
    nodes: Vec<LiveNode>,
    folder: OnceCell<Folder>,
    #[cfg(feature = "tls")]
    ca: OnceCell<super::Ca>,
    supervisor: OnceCell<Supervisor>,
}

#[derive(Debug)]
struct LiveSpace {
    net: Arc<OwnedFd>,
    route: Mutex<NetlinkSocket>,
}

/// What a node has once it is used.
#[derive(Debug, Default)]
struct LiveNode {
    view: OnceCell<Arc<View>>,
    thread: OnceCell<NodeThread>,
    may_ping: OnceCell<()>,
    /// How often a program's name was given away.
    programs: Mutex<BTreeMap<String, usize>>,
}

/// A way into a node, for a thread that may outlive whoever started it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    net: Arc<OwnedFd>,
    view: Option<Arc<View>>,
}

impl Entry {
    /// Puts the calling thread, which is to be a fresh one, into the node.
    pub(crate) fn enter(&self) -> io::Result<()> {
        namespace::enter_net(self.net.as_fd())?;
        self.view.as_ref().map_or(Ok(()), |view| view.enter())
    }
}

impl State {
    pub(super) fn new(name: String, plan: Plan, spaces: Vec<Space>) -> Self {
        let spaces = spaces.into_iter().map(Space::into_parts);
        Self {
            nodes: plan.nodes().iter().map(|_node| LiveNode::default()).collect(),
            spaces: spaces
                .map(|(net, route)| LiveSpace { net: Arc::new(net), route: Mutex::new(route) })
                .collect(),
            name,
            plan,
            folder: OnceCell::new(),
            #[cfg(feature = "tls")]
            ca: OnceCell::new(),
            supervisor: OnceCell::new(),
        }
    }

    pub(super) fn node(&self, node: usize) -> &PlannedNode {
        &self.plan.nodes()[node]
    }

    pub(super) fn namespaces(&self) -> impl Iterator<Item = &OwnedFd> {
        self.spaces.iter().map(|space| &*space.net)
    }

    pub(super) fn namespace(&self, place: Place) -> &OwnedFd {
        &self.spaces[place.0].net
    }

    /// Runs `work` on a fresh thread in a namespace.
    pub(super) fn in_place<T: Send>(
        &self,
        place: Place,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let net = self.namespace(place);
        namespace::on_thread(self.plan.place_name(place), || {
            namespace::enter_net(net.as_fd())?;
            work()
        })
        .flatten()
    }

    /// The way into a node: its network, its mounts, its host name.
    pub(super) fn entry(&self, node: usize) -> io::Result<Entry> {
        let place = self.node(node).place;
        // The host's view is that of the whole process, but for threads of nodes, and threads that these made.
        let view = if place == Place::HOST {
            View::of_the_process()?.map(Arc::new)
        } else {
            Some(Arc::clone(self.view(node)?))
        };
        Ok(Entry { view, ..self.network_entry(node) })
    }

    /// The way into a node's network alone, which is cheaper and enough for a socket.
    pub(super) fn network_entry(&self, node: usize) -> Entry {
        Entry { net: Arc::clone(&self.spaces[self.node(node).place.0].net), view: None }
    }

    /// The view of a node's programs, made when it is first wanted.
    fn view(&self, node: usize) -> io::Result<&Arc<View>> {
        self.nodes[node].view.get_or_try_init(|| {
            // Mounted before the view is made, or the view will not have it. Who needs it is told when it cannot be had.
            drop(self.folder());
            let name = &self.node(node).name;
            let (view, refused) = self.in_place(self.node(node).place, || View::make(name))?;
            if let Some(error) = refused {
                say_once_that_sys_is_the_hosts(&error);
            }
            Ok(Arc::new(view))
        })
    }

    /// The folder of the lab, made when it is first wanted.
    pub(super) fn folder(&self) -> io::Result<&Folder> {
        self.folder.get_or_try_init(Folder::make)
    }

    /// The lab's certificate authority, made when it is first wanted.
    #[cfg(feature = "tls")]
    pub(super) fn ca(&self) -> io::Result<&super::Ca> {
        self.ca.get_or_try_init(|| super::Ca::make(self))
    }

    /// The lab's certificate authority, if there is one.
    #[cfg(feature = "tls")]
    pub(super) fn ca_if_made(&self) -> Option<&super::Ca> {
        self.ca.get()
    }

    /// The watch over the lab's programs, started with the first.
    pub(super) fn supervisor(&self) -> io::Result<&Supervisor> {
        self.supervisor.get_or_try_init(Supervisor::start)
    }

    /// A name for a program that no other of the node has: from the second on, with a number behind.
    pub(super) fn name_program(&self, node: usize, name: &str) -> String {
        let mut programs = self.nodes[node].programs.lock().unwrap_or_else(PoisonError::into_inner);
        let count = programs.entry(name.to_owned()).or_default();
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name}-{count}") }
    }

    /// The thread of a node, started when it is first wanted.
    pub(super) fn thread(&self, node: usize) -> io::Result<&NodeThread> {
        self.nodes[node]
            .thread
            .get_or_try_init(|| NodeThread::start(&self.node(node).name, self.entry(node)?))
    }

    /// Lets everyone in a node's namespace send ICMP echo requests from an ordinary socket.
    ///
    /// The group is that of the sandbox, as whom everything runs; a wider range would name groups that the sandbox's user
    /// namespace does not map, which the kernel refuses (`ipv4_ping_group_range`). On the machine itself nothing is changed.
    pub(super) fn allow_ping(&self, node: usize) -> io::Result<()> {
        if self.plan.machine() == Some(self.node(node).place) {
            return Ok(());
        }
        let once = &self.nodes[node].may_ping;
        once.get_or_try_init(|| {
            let group = nix::unistd::getegid();
            self.in_place(self.node(node).place, || {
                kernel::Sysctls::default().write("net.ipv4.ping_group_range", &format!("{group} {group}"))
            })
        })
        .copied()
    }

    /// Asks the kernel about a place.
    pub(super) fn ask<T>(
        &self,
        place: Place,
        what: &str,
        question: impl FnOnce(&mut NetlinkSocket) -> io::Result<T>,
    ) -> Result<T, LabError> {
        // A panic while a question was asked leaves at most answers behind, which carry their question's number.
        let mut socket = self.spaces[place.0].route.lock().unwrap_or_else(PoisonError::into_inner);
        question(&mut socket).map_err(|error| {
            LabError::io(
                format!("lab `{}`: node `{}`: {what}", self.name, self.plan.place_name(place)),
                error,
            )
        })
    }

    pub(super) fn forget_neighbours(&self, node: &PlannedNode, then: Arp) -> Result<(), LabError> {
        let indexes = node.interfaces.iter().map(|interface| interface.dev.index);
        self.ask(node.place, "its neighbours cannot be forgotten", |socket| {
            kernel::forget_neighbours(socket, indexes, then)
        })
    }

    pub(super) fn interfaces(&self, place: Place) -> Result<Vec<Interface>, LabError> {
        self.ask(place, "its interfaces cannot be read", inspect::interfaces)
    }

    pub(super) fn interface_names(&self, place: Place) -> Result<Names, LabError> {
        let interfaces = self.interfaces(place)?;
        Ok(interfaces.into_iter().map(|interface| (interface.index, interface.name)).collect())
    }

    pub(super) fn sockets(&self, place: Place) -> Result<Vec<Socket>, LabError> {
        let sockets = self.in_place(place, || {
            let mut socket = NetlinkSocket::open(NETLINK_SOCK_DIAG)?;
            inspect::sockets(&mut socket)
        });
        sockets.map_err(|error| {
            let node = self.plan.place_name(place);
            LabError::io(format!("lab `{}`: node `{node}`: its sockets cannot be read", self.name), error)
        })
    }

    pub(super) fn conntrack(&self, place: Place) -> Result<Vec<Flow>, LabError> {
        let flows = self.in_place(place, || {
            let mut socket = NetlinkSocket::open(NETLINK_NETFILTER)?;
            inspect::flows(&mut socket)
        });
        flows.map_err(|error| {
            let node = self.plan.place_name(place);
            LabError::io(format!("lab `{}`: node `{node}`: its connections cannot be read", self.name), error)
        })
    }

    pub(super) fn rules(&self, place: Place) -> Result<Vec<String>, LabError> {
        let rules = self.in_place(place, || {
            let mut socket = NetlinkSocket::open(NETLINK_NETFILTER)?;
            inspect::ruleset(&mut socket)
        });
        rules.map_err(|error| {
            let node = self.plan.place_name(place);
            LabError::io(format!("lab `{}`: node `{node}`: its rules cannot be read", self.name), error)
        })
    }
}

fn say_once_that_sys_is_the_hosts(error: &io::Error) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        eprintln!(
            "netlab: programs in nodes see the host's `/sys`, since mounting their own was refused ({error}): a container \
             that masks parts of `/sys` does that; run it with `--security-opt systempaths=unconfined`"
        );
    });
}
