//! Steps as messages of `NETLINK_ROUTE`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use ipnet::IpNet;
use netlab_topology::plan::{Dev, Op, Place, Step, VethEnd};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute, MacVlanMode,
};
use netlink_packet_route::route::RouteScope;
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
};

/// Makes what must not be there yet.
pub(super) const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// The messages of a step, each with its flags, or nothing if the step is none of netlink's.
///
/// `descriptor` gives the namespace of a place for `IFLA_NET_NS_FD`.
pub(crate) fn messages(
    step: &Step,
    descriptor: impl Fn(Place) -> RawFd,
    out: &mut impl FnMut(u16, RouteNetlinkMessage),
) -> bool {
    match &step.op {
        Op::AddBridge { dev, mac, mtu, up } => {
            let bridge = LinkMessageBuilder::<LinkBridge>::new(dev.name.as_str())
                .index(dev.index)
                .address(mac.0.to_vec())
                .mtu(*mtu)
                .stp_state(BridgeStpState::Disabled)
                .forward_delay(0)
                .mcast_snooping(false);
            let bridge = if *up { bridge.up() } else { bridge };
            out(NEW, RouteNetlinkMessage::NewLink(bridge.build()));
        }
        Op::AddVeth { end, master, peer_place, peer, .. } => {
            let veth = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(
                netlink_packet_route::link::InfoKind::Veth,
            )
            .set_info_data(InfoData::Veth(InfoVeth::Peer(
                veth_end(LinkMessageBuilder::<LinkUnspec>::new(), peer)
                    .setns_by_fd(descriptor(*peer_place))
                    .build(),
            )));
            let mut veth = veth_end(veth, end);
            if let Some(master) = master {
                // Up here, never in the peer's part: a veth refuses to come up before it has its peer (`veth_open`).
                veth = veth.controller(master.index).up();
            }
            out(NEW, RouteNetlinkMessage::NewLink(veth.build()));
        }
        Op::DisableLinkLocal { dev } => {
            let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
            let message = LinkUnspec::new_with_index(dev.index)
                .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
            out(0, RouteNetlinkMessage::SetLink(message.build()));
        }
        Op::SetUp { dev } => {
            out(0, RouteNetlinkMessage::SetLink(LinkUnspec::new_with_index(dev.index).up().build()));
        }
        Op::AddAddress { dev, addr } => {
            out(NEW, new_address(dev.index, *addr));
        }
        Op::AddRoute { destination, via, dev } => {
            out(NEW, RouteNetlinkMessage::NewRoute(route(*destination, *via, dev)));
        }
        Op::SetMaster { dev, bridge } => {
            let message = LinkUnspec::new_with_index(dev.index).controller(bridge.index).up();
            out(0, RouteNetlinkMessage::SetLink(message.build()));
        }
        Op::AddMacvlan { parent, peer_place, peer, mac, mtu, .. } => {
            let mut macvlan = LinkMacVlan::new(peer.name.as_str(), parent.index, MacVlanMode::Bridge)
                .index(peer.index)
                .address(mac.0.to_vec())
                .setns_by_fd(descriptor(*peer_place));
            if let Some(mtu) = mtu {
                macvlan = macvlan.mtu(*mtu);
            }
            out(NEW, RouteNetlinkMessage::NewLink(macvlan.build()));
        }
        Op::AddNamespace { .. }
        | Op::SetSysctl { .. }
        | Op::DisableOffload { .. }
        | Op::Nft(_)
        | Op::Iptables(_)
        | Op::TakeNic { .. }
        | Op::PlugNic { .. } => {
            return false;
        }
    }
    true
}

/// Gives an interface an address.
///
/// Without `IFA_F_NODAD`: the sysctl `accept_dad` says that no duplicates are looked for, and the address is tentative until it can
/// be asked for, which is what readiness waits for.
pub(super) fn new_address(index: u32, addr: IpNet) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(match addr {
        IpNet::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
    })
}

fn veth_end<T>(builder: LinkMessageBuilder<T>, end: &VethEnd) -> LinkMessageBuilder<T> {
    builder
        .name(end.dev.name.as_str())
        .index(end.dev.index)
        .address(end.mac.0.to_vec())
        .mtu(end.mtu)
        .append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

fn route(destination: IpNet, via: Option<IpAddr>, dev: &Dev) -> netlink_packet_route::route::RouteMessage {
    let builder = RouteMessageBuilder::<IpAddr>::new().output_interface(dev.index);
    // What has no next hop is on the wire itself (`fib_check_nh` wants that scope for IPv4).
    let scope = if via.is_none() { RouteScope::Link } else { RouteScope::Universe };
    let builder = builder.scope(scope);
    let network = destination.trunc();
    let builder = builder
        .destination_prefix(network.addr(), network.prefix_len())
        .expect("an `IpNet` has a prefix length within its family's");
    match via {
        None => builder.build(),
        Some(via) => builder.gateway(via).expect("a plan's next hops are of their routes' family").build(),
    }
}
