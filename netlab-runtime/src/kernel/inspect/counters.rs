//! What the kernel counts: packets and bytes by interface (`IFLA_STATS64`), queueing discipline (`TCA_STATS2`) and firewall rule.

use std::fmt;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, Stats64};
use netlink_packet_route::tc::{TcAttribute, TcMessage, TcStats2};

use super::{Names, name_of};
use crate::kernel::NetlinkSocket;

/// What an interface has counted since it was made (`struct rtnl_link_stats64`, `include/uapi/linux/if_link.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceCounters {
    /// The interface's name.
    pub name: String,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received, link-layer headers included.
    pub rx_bytes: u64,
    /// Bytes sent, link-layer headers included.
    pub tx_bytes: u64,
    /// Packets received and found bad.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received and dropped for want of room, or since nobody wanted them.
    pub rx_dropped: u64,
    /// Packets dropped before they were sent.
    pub tx_dropped: u64,
    /// Multicast packets received.
    pub multicast: u64,
}

/// What a queueing discipline has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QdiscCounters {
    /// The interface it is on.
    pub dev: String,
    /// Its kind: `netem`, `tbf`, `noqueue`, ...
    pub kind: String,
    /// Its handle, as `tc` shows it: `8001:`.
    pub handle: String,
    /// Packets that left it.
    pub packets: u32,
    /// Bytes that left it.
    pub bytes: u64,
    /// Packets it dropped.
    pub dropped: u32,
    /// How often it was over its limit.
    pub overlimits: u32,
    /// Packets in it now.
    pub queued: u32,
}

/// What a rule of nf_tables with a counter has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleCounters {
    /// Its family and table, as in `inet nat`.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule as `nft` words it, without the counter.
    pub rule: String,
    /// Packets that came to the counter.
    pub packets: u64,
    /// Their bytes, from the IP header.
    pub bytes: u64,
}

/// As `ip -s link`, in one line.
impl fmt::Display for InterfaceCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rx_packets, rx_bytes, rx_errors, rx_dropped, .. } = self;
        let Self { tx_packets, tx_bytes, tx_errors, tx_dropped, multicast, .. } = self;
        write!(
            f,
            "{name} rx packets {rx_packets} bytes {rx_bytes} errors {rx_errors} dropped {rx_dropped} multicast {multicast} \
             tx packets {tx_packets} bytes {tx_bytes} errors {tx_errors} dropped {tx_dropped}"
        )
    }
}

/// As `tc -s qdisc`, in one line.
impl fmt::Display for QdiscCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dev, kind, handle, packets, bytes, dropped, overlimits, queued } = self;
        write!(
            f,
            "{dev} {kind} {handle} packets {packets} bytes {bytes} dropped {dropped} overlimits {overlimits} queued {queued}"
        )
    }
}

/// As `nft list ruleset`, in one line.
impl fmt::Display for RuleCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, chain, rule, packets, bytes } = self;
        write!(f, "{table} {chain}: {rule} packets {packets} bytes {bytes}")
    }
}

/// The counters of all interfaces of the socket's namespace, by index.
pub(crate) fn interface_counters(socket: &mut NetlinkSocket) -> io::Result<Vec<InterfaceCounters>> {
    let links = socket.dump(|| RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut counters: Vec<_> = links
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some((link.header.index, of_interface(link.attributes))),
            _ => None,
        })
        .collect();
    counters.sort_by_key(|(index, _)| *index);
    Ok(counters.into_iter().map(|(_, counters)| counters).collect())
}

fn of_interface(attributes: Vec<LinkAttribute>) -> InterfaceCounters {
    let (mut name, mut stats) = (String::new(), Stats64::default());
    for attribute in attributes {
        match attribute {
            LinkAttribute::IfName(of) => name = of,
            LinkAttribute::Stats64(of) => stats = of,
            _ => {}
        }
    }
    InterfaceCounters {
        name,
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_bytes: stats.rx_bytes,
        tx_bytes: stats.tx_bytes,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
        rx_dropped: stats.rx_dropped,
        tx_dropped: stats.tx_dropped,
        multicast: stats.multicast,
    }
}

/// The counters of all queueing disciplines of the socket's namespace, in the kernel's order.
pub(crate) fn qdisc_counters(socket: &mut NetlinkSocket, names: &Names) -> io::Result<Vec<QdiscCounters>> {
    let messages = socket.dump(|| RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()))?;
    let qdiscs = messages.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => Some(of_qdisc(qdisc, names)),
        _ => None,
    });
    Ok(qdiscs.collect())
}

fn of_qdisc(message: TcMessage, names: &Names) -> QdiscCounters {
    let mut counters = QdiscCounters {
        dev: name_of(names, message.header.index.cast_unsigned()),
        kind: String::new(),
        handle: format!("{:x}:", message.header.handle.major),
        packets: 0,
        bytes: 0,
        dropped: 0,
        overlimits: 0,
        queued: 0,
    };
    for attribute in message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => counters.kind = kind,
            TcAttribute::Stats2(all) => {
                for stats in all {
                    match stats {
                        TcStats2::Basic(basic) => {
                            (counters.packets, counters.bytes) = (basic.packets, basic.bytes);
                        }
                        TcStats2::Queue(queue) => {
                            counters.dropped = queue.drops;
                            counters.overlimits = queue.overlimits;
                            counters.queued = queue.qlen;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    counters
}

/// The counters in the lines of a ruleset.
pub(crate) fn rule_counters(ruleset: &[String]) -> Vec<RuleCounters> {
    let (mut table, mut chain) = (String::new(), String::new());
    let mut counters = Vec::new();
    for line in ruleset {
        let line = line.trim();
        if let Some(name) = head(line, "table ") {
            name.clone_into(&mut table);
        } else if let Some(name) = head(line, "chain ") {
            name.clone_into(&mut chain);
        } else if let Some((rule, packets, bytes)) = counted(line) {
            counters.push(RuleCounters { table: table.clone(), chain: chain.clone(), rule, packets, bytes });
        }
    }
    counters
}

fn head<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word)?.strip_suffix(" {")
}

/// A rule without its counter, and what that says.
fn counted(line: &str) -> Option<(String, u64, u64)> {
    let (before, counter) = line.split_once("counter packets ")?;
    let (packets, rest) = counter.split_once(" bytes ")?;
    let (bytes, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let rule = format!("{before}{after}").trim().to_owned();
    Some((rule, packets.parse().ok()?, bytes.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_out_of_rules() {
        let lines = [
            "table inet nat {",
            "\tchain postrouting {",
            "\t\ttype nat hook postrouting priority 100; policy accept;",
            "\t\toifname \"eth1\" counter packets 3 bytes 252 masquerade",
            "\t\tcounter packets 0 bytes 0",
            "\t\taccept",
            "\t}",
            "}",
        ];
        let counters = rule_counters(&lines.map(str::to_owned));
        let shown: Vec<_> = counters.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "inet nat postrouting: oifname \"eth1\" masquerade packets 3 bytes 252",
                "inet nat postrouting:  packets 0 bytes 0",
            ]
        );
    }
}
