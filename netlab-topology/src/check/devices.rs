//! Names, indexes, MAC addresses and MTUs of everything that is a network device.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{MIN_MTU_V6, device_name};
use super::draft::{Bridge, BridgePort, Draft, NicDraft, Sort};
use crate::diagnostic::{Report, Spanned};
use crate::model::WireAttributes;
use crate::name::{IF_NAME_MAX, IfName, MacAddr};
use crate::plan::{Dev, Family, NicUsage, Wire};

/// First index of a device of ours: the kernel's own (`lo`, fallback tunnels) have low numbers.
const FIRST_INDEX: u32 = 100;

/// MTU of Ethernet, which veth and bridge begin with (`ether_setup` in `net/ethernet/eth.c`), in bytes.
const DEFAULT_MTU: u32 = 1500;

/// Most ports of a bridge: numbers have 10 bits (`BR_PORT_BITS` in `net/bridge/br_private.h`), and 0 is none.
pub(super) const MAX_PORTS: usize = 1023;

/// A namespace, before places are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Node(usize),
    Switch,
}

const HOST: Room = Room::Node(0);

/// Which end of a wire a device is: of a net the near ends are the nodes', of a link the first node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Near,
    Far,
}

/// Gives every interface, bridge and port its name, index, MAC address and MTU.
pub(super) fn name(draft: &mut Draft<'_>, report: &mut Report) {
    let mut devices = Devices::default();
    // What is given comes first, so that nothing chosen takes it.
    devices.given_macs(draft, report);
    devices.given_names(draft);
    for net in 0..draft.nets.len() {
        devices.bridge(draft, net, report);
    }
    for node in 0..draft.nodes.len() {
        for interface in 0..draft.nodes[node].interfaces.len() {
            devices.interface(draft, node, interface, report);
        }
    }
    for net in 0..draft.nets.len() {
        devices.ports(draft, net);
    }
}

/// What is taken so far.
#[derive(Debug, Default)]
struct Devices {
    names: BTreeMap<Room, BTreeSet<String>>,
    /// Names that interfaces are given, which no chosen one takes.
    given: BTreeMap<Room, BTreeSet<String>>,
    macs: BTreeSet<MacAddr>,
    /// The interface of the machine that is a port of a net.
    plugged: BTreeMap<usize, Dev>,
    /// Numbers in shortened names, by what they begin with.
    shortened: BTreeMap<String, usize>,
}

impl Devices {
    /// A new device; its index counts up within the namespace, even ones for near ends and odd ones for far ends.
    ///
    /// Two ends with the same index would look like one device to the kernel's link watch, which then takes up to a
    /// second to see that they are up (`linkwatch_urgent_event` in net/core/link_watch.c compares `dev->ifindex` with
    /// `dev_get_iflink`); since 6.8 asking for a device makes it look.
    fn dev(&mut self, room: Room, name: IfName, end: End) -> Dev {
        let names = self.names.entry(room).or_default();
        let number = u32::try_from(names.len()).unwrap_or(u32::MAX / 4);
        names.insert(name.as_str().to_owned());
        Dev { name, index: FIRST_INDEX + 2 * number + u32::from(end == End::Far) }
    }

    fn is_taken(&self, room: Room, name: &str) -> bool {
        self.names.get(&room).is_some_and(|names| names.contains(name))
    }

    /// A free name that is `name` and `tail`, or as much of it as an interface can be named.
    fn short_name(&mut self, room: Room, name: &str, tail: &str) -> IfName {
        // A name that is wrong has been reported; it must not stop the search for a free one.
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let whole = format!("{name}{tail}");
        if whole.len() <= IF_NAME_MAX
            && !self.is_taken(room, &whole)
            && let Ok(name) = IfName::new(whole)
        {
            return name;
        }
        loop {
            let number = self.shortened.entry(format!("{}{tail}", &name[..name.len().min(8)])).or_default();
            *number += 1;
            let tail = format!("~{number}{tail}");
            let kept = name.len().min(IF_NAME_MAX.saturating_sub(tail.len()));
            let short = format!("{}{tail}", &name[..kept]);
            if !self.is_taken(room, &short)
                && let Ok(name) = IfName::new(short)
            {
                return name;
            }
        }
    }

    /// The first name of `eth0`, `eth1`, ... from `number` on that is neither taken nor given.
    fn free_name(&self, room: Room, number: usize) -> String {
        let given = |name: &str| self.given.get(&room).is_some_and(|given| given.contains(name));
        let names = (number..).map(|number| format!("eth{number}"));
        names.into_iter().find(|name| !self.is_taken(room, name) && !given(name)).unwrap_or_default()
    }

    /// A locally administered MAC address: a hash (FNV-1a) of what it is for, so that it stays the same.
    fn mac(&mut self, what: &str) -> MacAddr {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in what.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        loop {
            let [.., a, b, c, d, e] = hash.to_be_bytes();
            // The bit 0x02 is that of locally administered addresses (IEEE 802, clause 8.4).
            let mac = MacAddr([0x02, a, b, c, d, e]);
            if self.macs.insert(mac) {
                return mac;
            }
            hash = hash.wrapping_add(1);
        }
    }

    /// Checks that the addresses given are different on each net.
    fn given_macs(&mut self, draft: &Draft<'_>, report: &mut Report) {
        for net in &draft.nets {
            let mut on_net: BTreeMap<MacAddr, &str> = BTreeMap::new();
            // The bridge's address is the host's when the host is on the net.
            if let Some(mac) = net.statement.attributes.mac {
                on_net.insert(mac.value, "its bridge");
                self.macs.insert(mac.value);
            }
            let mut reported = None;
            for &(node, interface) in &net.members {
                let node = &draft.nodes[node];
                let Some(given) = node.interfaces[interface].attachment.and_then(|a| a.attributes.mac) else {
                    continue;
                };
                let mac = count_up(given.value, node.member);
                self.macs.insert(mac);
                if let Some(other) = on_net.insert(mac, &node.name)
                    && reported != Some(given.span)
                {
                    let message = format!("the MAC address `{mac}` is used twice");
                    let label = format!("`{other}` has it on `{}` already", net.statement.name.value);
                    report.error(given.span, message, label);
                    reported = Some(given.span);
                }
            }
        }
    }

    /// Finds the names that are given. Those of interfaces of the machine are taken at once, in the machine and where they go.
    fn given_names(&mut self, draft: &mut Draft<'_>) {
        for (index, node) in draft.nodes.iter().enumerate() {
            let given = node.interfaces.iter().filter_map(|i| i.attachment?.attributes.dev.as_ref());
            self.given.entry(Room::Node(index)).or_default().extend(given.map(|dev| dev.value.clone()));
        }
        for at in 0..draft.nics.len() {
            let nic = &draft.nics[at];
            let Some(dev) = nic.dev() else { continue };
            if draft.host_is_real() {
                self.names.entry(HOST).or_default().insert(dev.name.as_str().to_owned());
            }
            match nic.usage {
                NicUsage::Moved { node, interface } => {
                    let dev = self.dev(Room::Node(node), dev.name, End::Near);
                    draft.nodes[node].interfaces[interface].dev = Some(dev);
                }
                NicUsage::Plugged { net, .. } => {
                    let room = if draft.host_is_on(net) { HOST } else { Room::Switch };
                    let plugged = match room == HOST && draft.host_is_real() {
                        true => dev,
                        false => self.dev(room, dev.name, End::Near),
                    };
                    self.plugged.insert(net, plugged);
                }
                NicUsage::Shared { .. } => {}
            }
        }
    }

    fn bridge(&mut self, draft: &mut Draft<'_>, net: usize, report: &mut Report) {
        let statement = draft.nets[net].statement;
        let name = &statement.name;
        let mtu = mtu_of(&statement.attributes);
        let has_v6 = draft.nets[net].subnets.iter().any(|subnet| subnet.family == Family::V6);
        check_mtu_v6(statement.attributes.mtu, has_v6, report);

        let this = &draft.nets[net];
        let ports =
            this.joined - usize::from(draft.host_is_on(net)) + usize::from(self.plugged.contains_key(&net));
        if ports > MAX_PORTS {
            let label = format!("{ports} nodes besides the host, but a bridge has at most {MAX_PORTS} ports");
            report
                .error(name.span, format!("too many nodes on `{}`", name.value), label)
                .help("spread them over several nets with a router between");
        }
        if this.is_shared() {
            return;
        }

        let host = draft.nodes[0].interface_on(Wire::Net(net));
        let host_attributes = host.and_then(|i| i.attachment).map(|attachment| &attachment.attributes);
        let given = host_attributes.and_then(|attributes| attributes.mac).or(statement.attributes.mac);
        let mac = given.map_or_else(|| self.mac(&format!("bridge {}", name.value)), |mac| mac.value);
        let dev = match host_attributes {
            None => {
                let short = self.short_name(Room::Switch, &name.value, "");
                self.dev(Room::Switch, short, End::Near)
            }
            Some(attributes) => {
                let (dev, span) = match &attributes.dev {
                    Some(dev) => (&dev.value, dev.span),
                    None => (&name.value, name.span),
                };
                if attributes.dev.is_none() {
                    let errors = report.len();
                    device_name(dev, span, report);
                    report.help_since(errors, || {
                        format!("the host's bridge is named as the net; rename it with `{dev}(dev=NAME)` on the host")
                    });
                }
                if self.is_taken(HOST, dev) {
                    let label = match draft.nics.iter().any(|nic| nic.name.value == *dev) {
                        true => "it is that of an interface of the machine",
                        false => "another net has it",
                    };
                    let error =
                        report.error(span, format!("the interface name `{dev}` is used twice"), label);
                    if attributes.dev.is_none() {
                        error.help(format!(
                            "the host's bridge is named as the net; rename it with `{dev}(dev=NAME)` on the host"
                        ));
                    }
                }
                let name = IfName::new(dev).unwrap_or_else(|_reported| self.short_name(HOST, "bridge", ""));
                self.dev(HOST, name, End::Near)
            }
        };
        draft.nets[net].bridge =
            Some(Bridge { dev, mac, mtu, ports: Vec::new(), plugged: self.plugged.remove(&net) });
    }

    fn interface(&mut self, draft: &mut Draft<'_>, node: usize, index: usize, report: &mut Report) {
        let wire = draft.nodes[node].interfaces[index].wire;
        let sort = draft.sort(node, wire);
        let is_real = node == 0 && draft.host_is_real();
        let Draft { nets, links, nodes, nics, .. } = draft;
        let Some(current) = nodes.get_mut(node) else { return };
        let (speaks, broken) = (current.speaks(), current.broken);
        let (name, member) = (&current.name, current.member);
        let interface = &mut current.interfaces[index];
        let own = interface.attachment.map(|attachment| &attachment.attributes);
        let (on_wire, wire_name) = match interface.wire {
            Wire::Net(net) => (&nets[net].statement.attributes, nets[net].statement.name.value.as_str()),
            Wire::Link(link) => (&links[link].statement.attributes, links[link].name.as_str()),
            Wire::Nic(_) => return,
        };

        let wire_mtu = mtu_of(on_wire);
        let own_mtu = own.and_then(|own| own.mtu);
        interface.mtu = own_mtu.map_or(wire_mtu, |mtu| mtu.value);
        interface.offload = own.and_then(|own| own.offload).or(on_wire.offload).is_none_or(|on| on.value);
        let has_v6 = interface.addr(Family::V6).is_some();
        if speaks {
            check_mtu_v6(own_mtu, has_v6, report);
            if let Wire::Link(link) = interface.wire
                && links[link].ends[0] == (node, index)
            {
                check_mtu_v6(on_wire.mtu, has_v6, report);
            }
            // Without an mtu of the net it is that of the machine's interface.
            let unknown = matches!(sort, Sort::Macvlan | Sort::OfTheMachine) && on_wire.mtu.is_none();
            let wire_broken = matches!(interface.wire, Wire::Net(net) if nets[net].broken);
            if let Some(mtu) = own_mtu.filter(|mtu| mtu.value > wire_mtu && !wire_broken && !unknown) {
                let label = format!("`{wire_name}` carries at most {wire_mtu} bytes");
                report
                    .error(mtu.span, "this mtu is larger than that of the net", label)
                    .help(format!("give the net `mtu={}`", mtu.value));
            }
        }

        if let (0, Wire::Net(net)) = (node, interface.wire)
            && let Some(bridge) = &nets[net].bridge
        {
            // The host has no interface beside the bridge.
            interface.mac = bridge.mac;
            interface.dev = Some(bridge.dev.clone());
            return;
        }
        if let (Sort::OfTheMachine, Wire::Net(net)) = (sort, interface.wire) {
            let nic = nics.iter().find(|nic| nic.usage == NicUsage::Shared { net });
            interface.dev = nic.and_then(NicDraft::dev);
            return;
        }
        let room = Room::Node(node);
        let given = own.and_then(|own| own.dev.as_ref());
        let text = match given {
            Some(given) => given.value.clone(),
            // In the machine a name says what is at the other end.
            None if is_real => self.short_name(room, wire_name, "").to_string(),
            None => self.free_name(room, index),
        };
        if self.is_taken(room, &text) && speaks && !broken {
            let span = given.map_or(interface.span, |given| given.span);
            let label = format!("another interface of `{name}` has it");
            report.error(span, format!("the interface name `{text}` is used twice"), label).help(
                "interfaces are named eth0, eth1, ... in order of attachment; `(dev=NAME)` renames one",
            );
        }
        let mac = own.and_then(|own| own.mac).map(|mac| count_up(mac.value, member));
        interface.mac = mac.unwrap_or_else(|| self.mac(&format!("node {name} {index}")));
        // A name that is wrong has been reported where it is written.
        if let Ok(name) = IfName::new(text) {
            let end = match interface.wire {
                Wire::Link(link) if links[link].ends[0] != (node, index) => End::Far,
                Wire::Net(_) | Wire::Link(_) | Wire::Nic(_) => End::Near,
            };
            interface.dev = Some(self.dev(room, name, end));
        }
    }

    /// The bridge's side of each member's veth pair.
    fn ports(&mut self, draft: &mut Draft<'_>, net: usize) {
        if draft.nets[net].is_shared() {
            return;
        }
        let room = if draft.host_is_on(net) { HOST } else { Room::Switch };
        for at in 0..draft.nets[net].members.len() {
            let (node, interface) = draft.nets[net].members[at];
            if node == 0 {
                continue;
            }
            let name = &draft.nodes[node].name;
            let mac = self.mac(&format!("port {name} {interface}"));
            let short = self.short_name(room, name, &format!("-{interface}"));
            let dev = self.dev(room, short, End::Far);
            if let Some(bridge) = &mut draft.nets[net].bridge {
                bridge.ports.push(BridgePort { dev, mac, node, interface });
            }
        }
    }
}

/// The MAC address of a member of an array, counting up from the one given; only its last three bytes, so that
/// it keeps its vendor.
fn count_up(MacAddr([a, b, c, d, e, f]): MacAddr, member: u32) -> MacAddr {
    let [_, d, e, f] = u32::from_be_bytes([0, d, e, f]).wrapping_add(member).to_be_bytes();
    MacAddr([a, b, c, d, e, f])
}

fn mtu_of(attributes: &WireAttributes) -> u32 {
    attributes.mtu.map_or(DEFAULT_MTU, |mtu| mtu.value)
}

fn check_mtu_v6(mtu: Option<Spanned<u32>>, has_v6: bool, report: &mut Report) {
    if let Some(mtu) = mtu.filter(|mtu| has_v6 && (68..MIN_MTU_V6).contains(&mtu.value)) {
        let message = format!("an mtu of {} is too small for IPv6", mtu.value);
        report.error(mtu.span, message, format!("expected at least {MIN_MTU_V6} bytes (RFC 8200)"));
    }
}
