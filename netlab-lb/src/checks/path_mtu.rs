//! Whether large answers get through where the path narrows.
//!
//! A router that cannot pass a packet on says so to where the packet came from (ICMP fragmentation needed, RFC 1191; ICMPv6 packet
//! too big, RFC 8201). Behind a balancer that is the balancer's address, and what it does with the message decides whether the
//! backend that sends the flow hears of it. If not, its large packets vanish, and the flow stands still (RFC 7690).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::table::Table;
use super::verdict::Verdict;
use crate::observation::Observation;
use crate::traffic::Traffic;

/// What a node was told of packets that are too big: [`TooBigWatch`](crate::TooBigWatch) asks its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The node's name.
    pub node: String,
    /// How many such messages came.
    pub messages: u64,
    /// The largest packet that the node now takes to get to an address, in bytes with the IP header.
    pub path_mtu: BTreeMap<IpAddr, u32>,
}

/// Transfers over a path that narrows, to be asked with [`complete`](Self::complete).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.complete()`"]
pub struct PathMtu<'t> {
    traffic: &'t Traffic,
    told: &'t [Told],
    sender: Option<String>,
}

impl Traffic {
    /// Asks whether large answers got through, given what the backends were told meanwhile. The load keeps its connections and asks for
    /// large answers: by the first of a connection, which is short, its backend is known.
    pub fn path_mtu<'t>(&'t self, told: &'t [Told]) -> PathMtu<'t> {
        PathMtu { traffic: self, told, sender: None }
    }
}

/// The transfers that one node has to send.
#[derive(Debug, Default)]
struct Sends<'t> {
    whole: u64,
    stopped: Vec<&'t Observation>,
    clients: BTreeSet<IpAddr>,
}

impl PathMtu<'_> {
    /// It is this node that sends to the clients, rather than the backends: a proxy ends the clients' connections itself.
    pub fn sent_by(self, node: impl Into<String>) -> Self {
        Self { sender: Some(node.into()), ..self }
    }

    /// Every large answer arrived whole, and who was told that packets are too big is who sends them. Somebody must have been told.
    pub fn complete(&self) -> Verdict {
        const CHECK: &str = "path MTU";
        let sends = self.sends();
        let large: usize = sends.values().map(|sends| sends.whole as usize + sends.stopped.len()).sum();
        let title = format!(
            "{large} large answers arrive whole, and their senders are told of packets that are too big"
        );
        let head = ["sent by", "answers", "whole", "arrived", "told", "path MTU"];
        let mut table = Table::new(title, head);
        let told = |node: &str| self.told.iter().find(|told| told.node == node);
        let nodes: BTreeSet<&str> =
            sends.keys().copied().chain(self.told.iter().map(|told| told.node.as_str())).collect();
        let none = Sends::default();
        for node in nodes {
            let sends = sends.get(node).unwrap_or(&none);
            let told_it = told(node);
            let messages = told_it.map_or(0, |told| told.messages);
            let mtu = told_it.and_then(|told| {
                let mtus = sends.clients.iter().filter_map(|client| told.path_mtu.get(client));
                mtus.clone().min().zip(mtus.max())
            });
            let mtu = match mtu {
                Some((least, most)) if least == most => least.to_string(),
                Some((least, most)) => format!("{least}..={most}"),
                None => String::new(),
            };
            let count = sends.whole + sends.stopped.len() as u64;
            let (arrived, wanted) = sends.stopped.iter().fold((0, 0), |(arrived, wanted), request| {
                (arrived + request.bytes.arrived, wanted + request.bytes.wanted)
            });
            let wrong = if let Some(example) = sends.stopped.first() {
                let why = self.why(node, example);
                let outcome =
                    example.outcome.as_ref().map_or_else(ToString::to_string, |_| "too short".to_owned());
                let number = sends.stopped.len();
                Some(format!("{number} stopped ({outcome}), for example to {}: {why}", example.source))
            } else if count == 0 && messages > 0 {
                Some("told of what others send".to_owned())
            } else {
                None
            };
            let part = if wanted == 0 { String::new() } else { format!("{arrived} of {wanted} bytes") };
            let cells = [
                node.to_owned(),
                count.to_string(),
                sends.whole.to_string(),
                part,
                messages.to_string(),
                mtu,
            ];
            table.row(cells, wrong);
        }
        table.note("arrived: of the answers that are not whole");
        if large == 0 {
            table.note("no large answer was asked for (`Load::answers_of`): there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        if !table.is_wrong() && self.told.iter().all(|told| told.messages == 0) {
            table.note(
                "nobody was told anything: the path does not narrow, or was known; there is nothing to judge",
            );
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table)
    }

    /// The large answers by who sends them.
    fn sends(&self) -> BTreeMap<&str, Sends<'_>> {
        let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
        for (observation, answer) in self.traffic.answers() {
            owners.entry(observation.connection).or_insert(&answer.backend);
        }
        let mut sends: BTreeMap<&str, Sends<'_>> = BTreeMap::new();
        for observation in
            self.traffic.observations().iter().filter(|observation| observation.bytes.wanted > 0)
        {
            let owner = owners.get(&observation.connection).copied().unwrap_or("(unknown)");
            let sends = sends.entry(self.sender.as_deref().unwrap_or(owner)).or_default();
            sends.clients.insert(observation.source.ip());
            if observation.outcome.is_ok() && observation.bytes.arrived >= observation.bytes.wanted {
                sends.whole += 1;
            } else {
                sends.stopped.push(observation);
            }
        }
        sends
    }

    /// Why an answer may have stopped.
    fn why(&self, node: &str, stopped: &Observation) -> String {
        let Some(told) = self.told.iter().find(|told| told.node == node).filter(|told| told.messages > 0)
        else {
            return format!("never told{}", self.instead_of(node));
        };
        let known = told.path_mtu.get(&stopped.source.ip());
        let narrowest = self.told.iter().flat_map(|told| told.path_mtu.values()).min();
        match known.zip(narrowest) {
            Some((known, narrowest)) if known > narrowest => {
                format!("told, but not of the path to there, which it takes to be {known} bytes wide")
            }
            _ => "though it was told".to_owned(),
        }
    }

    /// Who else was told.
    fn instead_of(&self, node: &str) -> String {
        let others: Vec<String> = self
            .told
            .iter()
            .filter(|told| told.node != node && told.messages > 0)
            .map(|told| format!("{} was, {} times", told.node, told.messages))
            .collect();
        if others.is_empty() { String::new() } else { format!(", but {}", others.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, missed, traffic};
    use crate::observation::{Bytes, Miss};

    const LARGE: u64 = 100_000;

    /// Four connections, by turns of web1 and web2, each with a short answer and a large one; those of web2 may stop.
    fn transfers(stop: bool) -> Traffic {
        traffic((0..8).map(|number| {
            let connection = number % 4;
            let backend = ["web1", "web2"][connection as usize % 2];
            let wanted = if number < 4 { 0 } else { LARGE };
            let (request, arrived) = if stop && backend == "web2" && wanted > 0 {
                (missed(number, Miss::TimedOut), 0)
            } else {
                (answered(number, backend), wanted.max(23))
            };
            let source = ([10, 1, 0, connection as u8 + 1], 4000).into();
            Observation { source, connection, bytes: Bytes { asked: 10, wanted, arrived }, ..request }
        }))
    }

    fn told(node: &str, messages: u64, mtu: u32) -> Told {
        let path_mtu = (1..=4).map(|last| ([10, 1, 0, last].into(), mtu)).collect();
        Told { node: node.to_owned(), messages, path_mtu }
    }

    #[test]
    fn who_sends_is_told() {
        let told = [told("web1", 2, 1400), told("web2", 2, 1400)];
        assert!(transfers(false).path_mtu(&told).complete().is_ok());
        assert!(transfers(true).path_mtu(&told).complete().to_string().contains("though it was told"));
        let mut other_paths = told;
        other_paths[1].path_mtu.insert([10, 1, 0, 2].into(), 1500);
        let text = transfers(true).path_mtu(&other_paths).complete().to_string();
        assert!(
            text.contains("told, but not of the path to there, which it takes to be 1500 bytes wide"),
            "{text}"
        );
    }

    #[test]
    fn who_is_not_told_stops_and_who_is_told_instead_is_named() {
        let told = [told("web1", 7, 1400), told("web2", 0, 1500)];
        insta::assert_snapshot!(transfers(true).path_mtu(&told).complete(), @r"
        path MTU does not hold: 4 large answers arrive whole, and their senders are told of packets that are too big
          sent by  answers  whole            arrived  told  path MTU
          web1           2      2                        7      1400
          web2           2      0  0 of 200000 bytes     0      1500  <- 2 stopped (timed out), for example to 10.1.0.2:4000: never told, but web1 was, 7 times
          arrived: of the answers that are not whole
        ");
        let other = [self::told("web1", 2, 1400), self::told("web2", 2, 1400), self::told("web3", 1, 1500)];
        assert!(
            transfers(false).path_mtu(&other).complete().to_string().contains("told of what others send")
        );
    }

    #[test]
    fn a_proxy_is_told_itself() {
        let told = [told("lb", 2, 1400), told("web1", 0, 1500), told("web2", 0, 1500)];
        assert!(transfers(false).path_mtu(&told).sent_by("lb").complete().is_ok());
        assert!(!transfers(false).path_mtu(&told).complete().is_ok());
    }

    #[test]
    fn where_nothing_narrows_nothing_is_proved() {
        let verdict = transfers(false).path_mtu(&[told("web1", 0, 1500), told("web2", 0, 1500)]).complete();
        assert!(!verdict.is_ok() && verdict.to_string().contains("nobody was told"), "{verdict}");
        assert!(!traffic([]).path_mtu(&[]).complete().is_ok());
    }
}
