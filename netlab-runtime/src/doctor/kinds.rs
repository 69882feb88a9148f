//! Queueing disciplines and kinds of interfaces, as the messages that make one of each.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVeth, InfoVlan, InfoVrf, InfoVxlan, LinkAttribute, LinkInfo,
    LinkMessage, MacVlanMode,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::check::Group;
use crate::kernel::{NetlinkSocket, Refused};

/// A request with its flags.
type Request = (u16, RouteNetlinkMessage);

/// Something the kernel may or may not have.
pub(super) struct Kind {
    pub(super) group: Group,
    pub(super) name: &'static str,
    /// Why it matters.
    pub(super) why: &'static str,
    /// The module that has it.
    pub(super) module: String,
    /// The option of the kernel's configuration.
    pub(super) option: &'static str,
    pub(super) make: Request,
    /// What makes room for the next.
    pub(super) remove: Option<Request>,
}

const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// Makes the interface that the others stand on, and gives its index.
pub(super) fn base(socket: &mut NetlinkSocket) -> Result<u32, Refused> {
    const INDEX: u32 = 1000;
    let mut peer = LinkMessage::default();
    peer.attributes = vec![LinkAttribute::IfName("peer".to_owned())];
    let data = InfoData::Veth(InfoVeth::Peer(peer));
    let (flags, message) = link("base", InfoKind::Veth, Some(data), Vec::new());
    let RouteNetlinkMessage::NewLink(mut message) = message else { return Ok(INDEX) };
    message.header.index = INDEX;
    socket.batch([(flags, RouteNetlinkMessage::NewLink(message))].into_iter())?;
    Ok(INDEX)
}

/// All of them, on the interface of this index.
pub(super) fn all(base: u32) -> Vec<Kind> {
    let mut all = qdiscs(base);
    all.extend(interfaces(base));
    all
}

fn qdiscs(base: u32) -> Vec<Kind> {
    let ints = |values: &[u32]| values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<u8>>();
    // include/uapi/linux/pkt_sched.h: `tc_netem_qopt` (latency, limit, loss, gap, duplicate, jitter).
    let netem = ints(&[0, 1000, 0, 0, 0, 0]);
    // `tc_tbf_qopt`: two `tc_ratespec` (cell_log, linklayer, overhead, cell_align, mpu, rate), limit, buffer, mtu.
    let rate = |rate: u32| [&[0, 1, 0, 0, 0, 0, 0, 0][..], &rate.to_ne_bytes()].concat();
    let tbf = [rate(125_000), rate(0), ints(&[100_000, 1_000_000, 0])].concat();
    // `tc_htb_glob`: version, rate2quantum, defcls, debug, direct_pkts.
    let htb = ints(&[3, 10, 0, 0, 0]);
    // `tc_prio_qopt`: bands, and the band of each of 16 priorities.
    let prio = [ints(&[3]), vec![1; 16]].concat();
    let nested = |kind: u16, value: Vec<u8>| {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &value].concat()
    };
    let root = |name, why, option, options| qdisc(base, TcHandle::ROOT, name, why, option, options);
    let at_ingress = |name, why, option| qdisc(base, TcHandle::INGRESS, name, why, option, None);
    const INGRESS: &str = "filters and eBPF programs on what arrives";
    vec![
        root("netem", "the kernel's own delay, loss and reordering", "CONFIG_NET_SCH_NETEM", Some(netem)),
        root("tbf", "limits of rate", "CONFIG_NET_SCH_TBF", Some(nested(1, tbf))),
        root("htb", "rates shared among classes", "CONFIG_NET_SCH_HTB", Some(nested(2, htb))),
        root("prio", "priorities", "CONFIG_NET_SCH_PRIO", Some(prio)),
        root("sfq", "fair queueing", "CONFIG_NET_SCH_SFQ", None),
        root("fq", "pacing, as BBR wants it", "CONFIG_NET_SCH_FQ", None),
        root("fq_codel", "the usual queue of Linux machines", "CONFIG_NET_SCH_FQ_CODEL", None),
        root("cake", "the usual queue of home routers", "CONFIG_NET_SCH_CAKE", None),
        at_ingress("ingress", INGRESS, "CONFIG_NET_SCH_INGRESS"),
        at_ingress("clsact", INGRESS, "CONFIG_NET_SCH_INGRESS"),
    ]
}

fn qdisc(
    base: u32,
    parent: TcHandle,
    name: &'static str,
    why: &'static str,
    option: &'static str,
    options: Option<Vec<u8>>,
) -> Kind {
    /// `TCA_OPTIONS`, include/uapi/linux/rtnetlink.h.
    const OPTIONS: u16 = 2;
    let mut message = TcMessage::with_index(base.cast_signed());
    message.header.parent = parent;
    let mut remove = message.clone();
    remove.attributes = vec![TcAttribute::Kind(name.to_owned())];
    message.header.handle = if parent == TcHandle::ROOT {
        TcHandle { major: 1, minor: 0 }
    } else {
        TcHandle { major: u16::MAX, minor: 0 }
    };
    message.attributes = vec![TcAttribute::Kind(name.to_owned())];
    message.attributes.extend(options.map(|bytes| TcAttribute::Other(DefaultNla::new(OPTIONS, bytes))));
    Kind {
        group: Group::Qdiscs,
        name,
        why,
        module: format!("sch_{}", if name == "clsact" { "ingress" } else { name }),
        option,
        make: (NLM_F_CREATE | NLM_F_REPLACE, RouteNetlinkMessage::NewQueueDiscipline(message)),
        remove: Some((0, RouteNetlinkMessage::DelQueueDiscipline(remove))),
    }
}

fn interfaces(base: u32) -> Vec<Kind> {
    let on = || vec![LinkAttribute::Link(base)];
    let kind = |name, why, option, kind, data, attributes| Kind {
        group: Group::Interfaces,
        name,
        why,
        module: if name == "vlan" { "8021q".to_owned() } else { name.to_owned() },
        option,
        make: link(name, kind, data, attributes),
        remove: None,
    };
    vec![
        kind("dummy", "an interface that leads nowhere", "CONFIG_DUMMY", InfoKind::Dummy, None, Vec::new()),
        kind("ifb", "impairing what arrives", "CONFIG_IFB", InfoKind::Ifb, None, Vec::new()),
        kind(
            "vlan",
            "tagged segments",
            "CONFIG_VLAN_8021Q",
            InfoKind::Vlan,
            Some(InfoData::Vlan(vec![InfoVlan::Id(7)])),
            on(),
        ),
        kind(
            "macvlan",
            "nets on an interface of the machine (`dev=`)",
            "CONFIG_MACVLAN",
            InfoKind::MacVlan,
            Some(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
            on(),
        ),
        kind(
            "vxlan",
            "overlays",
            "CONFIG_VXLAN",
            InfoKind::Vxlan,
            Some(InfoData::Vxlan(vec![InfoVxlan::Id(7), InfoVxlan::Port(4789)])),
            Vec::new(),
        ),
        kind(
            "vrf",
            "several routing tables in one node",
            "CONFIG_NET_VRF",
            InfoKind::Vrf,
            Some(InfoData::Vrf(vec![InfoVrf::TableId(10)])),
            Vec::new(),
        ),
        kind("wireguard", "VPNs in the kernel", "CONFIG_WIREGUARD", InfoKind::Wireguard, None, Vec::new()),
    ]
}

fn link(name: &str, kind: InfoKind, data: Option<InfoData>, attributes: Vec<LinkAttribute>) -> Request {
    let mut info = vec![LinkInfo::Kind(kind)];
    info.extend(data.map(LinkInfo::Data));
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(info)];
    message.attributes.extend(attributes);
    (NEW, RouteNetlinkMessage::NewLink(message))
}
