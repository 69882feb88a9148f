//! What nodes are told of packets that are too big.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlab_runtime::error::{Error, Result};
use netlab_runtime::lab::Node;

use crate::checks::Told;
use crate::traffic::Traffic;

/// Watches what nodes are told of packets that are too big, from when it begins until it is asked.
///
/// It begins before anything large is sent: what a node was told it remembers for ten minutes (`net.ipv4.route.mtu_expires`), and
/// is not told again meanwhile.
///
/// ```no_run
/// # use netlab_lb::{LbTest, Load, TooBigWatch};
/// # async fn example(test: LbTest, web: [netlab_runtime::lab::Node; 3]) -> netlab_runtime::error::Result {
/// let watch = TooBigWatch::begin(&web)?;
/// let traffic = test.send(Load::requests(24).keep_connections(12).answers_of(100_000)).await?;
/// traffic.path_mtu(&watch.told(&traffic)?).complete().holds()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "what was counted is to be asked for: `.told(..)`"]
pub struct TooBigWatch {
    /// With the messages that had come before.
    nodes: Vec<(Node, u64)>,
}

impl TooBigWatch {
    /// Begins, for the backends, or whatever else might be told.
    ///
    /// # Errors
    ///
    /// The kernel has no such counters.
    pub fn begin<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Result<Self> {
        let counted = nodes.into_iter().map(|node| Ok((node.clone(), messages(node)?)));
        Ok(Self { nodes: counted.collect::<Result<_>>()? })
    }

    /// What they have been told since, and what they now know of the paths to the clients of a load.
    ///
    /// By hand: `nstat IcmpInDestUnreachs Icmp6InPktTooBigs; ip route get CLIENT`.
    ///
    /// # Errors
    ///
    /// The kernel has no such counters.
    pub fn told(&self, traffic: &Traffic) -> Result<Vec<Told>> {
        let clients: BTreeSet<IpAddr> =
            traffic.observations().iter().map(|observation| observation.source.ip()).collect();
        self.nodes
            .iter()
            .map(|(node, before)| {
                // To whom there is no way, there is no path.
                let known = clients.iter().filter_map(|client| Some((*client, node.path_mtu(*client).ok()?)));
                Ok(Told {
                    node: node.name().to_owned(),
                    messages: messages(node)?.saturating_sub(*before),
                    path_mtu: known.collect(),
                })
            })
            .collect()
    }
}

/// Messages of both IP versions. Of IPv4 the kernel counts all that tell of an unreachable destination together, of which
/// fragmentation needed is one (RFC 792).
fn messages(node: &Node) -> Result<u64> {
    let error = |error: io::Error| {
        Error::msg(format!("node `{}`: its counters of ICMP cannot be read: {error}", node.name()))
    };
    let read = |file: &str| node.enter(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")));
    let missing = || error(io::Error::new(io::ErrorKind::NotFound, "no such counter"));
    let of_v4 = snmp(&read("snmp").map_err(error)?, "Icmp:", "InDestUnreachs").ok_or_else(missing)?;
    // Without IPv6 there is no such file.
    let of_v6 = read("snmp6").ok().and_then(|text| snmp6(&text, "Icmp6InPktTooBigs")).unwrap_or(0);
    Ok(of_v4 + of_v6)
}

/// A counter of `/proc/net/snmp`: a line of names and one of numbers for each protocol.
fn snmp(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let index = names.split_whitespace().position(|other| other == name)?;
    numbers.split_whitespace().nth(index)?.parse().ok()
}

/// A counter of `/proc/net/snmp6`: a line of name and number for each.
fn snmp6(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    lines.find(|(other, _)| *other == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_as_the_kernel_prints_them() {
        let text = "Ip: Forwarding InReceives\nIp: 1 7\nIcmp: InMsgs InErrors InDestUnreachs\nIcmp: 9 0 4\nIcmpMsg: InType3\nIcmpMsg: 4\n";
        assert_eq!(snmp(text, "Icmp:", "InDestUnreachs"), Some(4));
        assert_eq!(snmp(text, "Icmp:", "OutMsgs"), None);
        let text = "Icmp6InMsgs                     \t3\nIcmp6InPktTooBigs               \t2\n";
        assert_eq!(snmp6(text, "Icmp6InPktTooBigs"), Some(2));
    }
}
