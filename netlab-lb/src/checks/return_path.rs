//! Which way the answers came back, by what a node's interfaces have sent.
//!
//! An interface counts whole frames. What of them is headers is not known to the byte, but bounded by the number of packets; the
//! rest is payload, and of payload the load knows how much there was: so many bytes asked, so many answered.

use std::ops::RangeInclusive;

use super::table::Table;
use super::verdict::Verdict;
use crate::traffic::Traffic;

/// What a node sent while a load ran, by interface: [`Watch`](crate::Watch) counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The node's name.
    pub node: String,
    /// Its interfaces, without `lo`.
    pub interfaces: Vec<SentBy>,
}

/// What one interface sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBy {
    /// The interface's name.
    pub interface: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, link-layer headers included.
    pub bytes: u64,
}

/// The way back of a load's answers, as far as one node is concerned, to be asked with [`passes`](Self::passes),
/// [`bypasses`](Self::bypasses) or [`carries_answers`](Self::carries_answers).
#[derive(Clone, Debug)]
#[must_use = "ask it: `.passes()`, `.bypasses()` or `.carries_answers()`"]
pub struct ReturnPath<'t> {
    traffic: &'t Traffic,
    sent: &'t Sent,
}

impl Traffic {
    /// Asks whether the answers came back through a node, given what that node sent meanwhile.
    ///
    /// Answers should be large ([`Load::answers_of`](crate::Load::answers_of)), 20 kB or so: of small ones nothing is left
    /// to see beside the headers, and then there is nothing to judge.
    pub fn return_path<'t>(&'t self, sent: &'t Sent) -> ReturnPath<'t> {
        ReturnPath { traffic: self, sent }
    }
}

/// The least that a packet has of headers, in bytes: Ethernet 14, then IPv4 20 as in a later fragment (RFC 791), or IPv6 40 with
/// UDP or a fragment header 8 (RFC 8200 section 4.5).
const LEAST: u64 = 14 + 20;
const LEAST_V6: u64 = 14 + 40 + 8;
/// The most: Ethernet 14, IP 20 or 40, TCP with all options 60 (RFC 9293 section 3.1), and one tunnel around it, the largest of which
/// is VXLAN: IP again, UDP 8, VXLAN 8, Ethernet 14 (RFC 7348 section 5).
const MOST: u64 = 14 + 20 + 60 + 20 + 30;
const MOST_V6: u64 = 14 + 40 + 60 + 40 + 30;

impl ReturnPath<'_> {
    const CHECK: &'static str = "return path";

    /// Requests and answers pass through the node, as with NAT and proxies: it sent at least as much payload as was asked and
    /// answered.
    pub fn passes(&self) -> Verdict {
        let all = self.asked().saturating_add(self.answered());
        self.judge("all answers come back through", all..=u64::MAX)
    }

    /// Requests pass through the node and no answer does, as with direct server return: it sent as much payload as was asked, and
    /// no more.
    pub fn bypasses(&self) -> Verdict {
        self.judge("no answer comes back through", self.asked()..=self.asked())
    }

    /// Answers pass through the node, whether or not requests do, as with the gateway of backends that return directly: it sent at
    /// least as much payload as was answered.
    pub fn carries_answers(&self) -> Verdict {
        self.judge("all answers come back through", self.answered()..=u64::MAX)
    }

    fn asked(&self) -> u64 {
        self.traffic.observations().iter().map(|observation| observation.bytes.asked).sum()
    }

    fn answered(&self) -> u64 {
        self.traffic.observations().iter().map(|observation| observation.bytes.arrived).sum()
    }

    fn judge(&self, what: &str, allowed: RangeInclusive<u64>) -> Verdict {
        let Sent { node, interfaces } = self.sent;
        let (requests, answers) =
            (self.traffic.observations().len() as u64, self.traffic.answers().count() as u64);
        let (asked, answered) = (self.asked(), self.answered());
        let packets: u64 = interfaces.iter().map(|by| by.packets).sum();
        let bytes: u64 = interfaces.iter().map(|by| by.bytes).sum();
        let (least, most) = self.headers();
        let payload = bytes.saturating_sub(packets * most)..=bytes.saturating_sub(packets * least);
        let unseen = packets * (most - least);

        let title =
            format!("of {requests} requests ({asked} bytes asked, {answered} answered): {what} {node}");
        let mut table = Table::new(title, ["", "packets", "bytes", "a request", "allowed"]);
        let a_request = |bytes: u64| format!("{:.0}", bytes as f64 / requests.max(1) as f64);
        for SentBy { interface, packets, bytes } in interfaces {
            let cells =
                [format!("sent by {interface}"), packets.to_string(), bytes.to_string(), a_request(*bytes)];
            table.row(cells.into_iter().chain([String::new()]), None);
        }
        let answer = (answered / answers.max(1)).max(1);
        let wrong = if *payload.end() < asked.min(*allowed.start()) {
            Some(format!("less than was asked: the requests did not pass {node}"))
        } else if payload.end() < allowed.start() {
            let missing = allowed.start() - payload.end();
            let number = missing.div_ceil(answer);
            Some(format!(
                "{missing} bytes or more came another way, as much as {number} of {answers} answers"
            ))
        } else if payload.start() > allowed.end() {
            let passed = payload.start() - allowed.end();
            let number = passed.div_ceil(answer);
            Some(format!(
                "{passed} bytes or more came back this way, as much as {number} of {answers} answers"
            ))
        } else {
            None
        };
        let range =
            |range: &RangeInclusive<u64>, map: &dyn Fn(u64) -> String| match (range.start(), range.end()) {
                (start, end) if start == end => map(*start),
                (start, &u64::MAX) => format!("{} or more", map(*start)),
                (start, end) => format!("{}..={}", map(*start), map(*end)),
            };
        let cells = [
            "of that payload".to_owned(),
            String::new(),
            range(&payload, &|bytes| bytes.to_string()),
            range(&payload, &a_request),
            range(&allowed, &|bytes| bytes.to_string()),
        ];
        table.row(cells, wrong);
        table.note(format!(
            "a packet has {least} to {most} bytes of headers, so {} of {answers} answers could go unseen",
            unseen / answer
        ));
        if answers == 0 {
            table.note("nothing was answered: there is nothing to judge");
            return Verdict::nothing_to_judge(Self::CHECK, table);
        }
        if unseen >= answered {
            table.note("the answers are too small to be told from headers: ask for larger ones with `Load::answers_of`");
            return Verdict::nothing_to_judge(Self::CHECK, table);
        }
        Verdict::of(Self::CHECK, table)
    }

    /// The least and the most bytes of headers in a packet of this traffic.
    fn headers(&self) -> (u64, u64) {
        let mut sources = self.traffic.observations().iter().map(|observation| observation.source);
        let has_v6 = sources.clone().any(|source| source.is_ipv6());
        let has_v4 = sources.any(|source| source.is_ipv4());
        (if has_v4 { LEAST } else { LEAST_V6 }, if has_v6 { MOST_V6 } else { MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, traffic};
    use crate::observation::Bytes;

    /// A hundred requests of 10 bytes with answers of this size.
    fn load(size: u64) -> Traffic {
        traffic((0..100).map(|number| {
            let mut observation = answered(number, ["web1", "web2"][number as usize % 2]);
            observation.bytes = Bytes { asked: 10, wanted: size, arrived: size };
            observation
        }))
    }

    /// What a balancer sends of that: four packets a request towards the backend, and of so many answers four packets to the client.
    fn sent(answers: u64, size: u64) -> Sent {
        let by = |interface: &str, packets: u64, payload: u64| SentBy {
            interface: interface.to_owned(),
            packets,
            bytes: packets * 66 + payload,
        };
        Sent {
            node: "lb".to_owned(),
            interfaces: vec![by("eth0", answers * 4, answers * size), by("eth1", 400, 1000)],
        }
    }

    #[test]
    fn the_way_is_told_by_the_payload() {
        let load = load(20_000);
        assert!(load.return_path(&sent(100, 20_000)).passes().is_ok());
        assert!(load.return_path(&sent(0, 20_000)).bypasses().is_ok());
        assert!(load.return_path(&sent(100, 20_000)).carries_answers().is_ok());
        assert!(!load.return_path(&sent(0, 20_000)).carries_answers().is_ok());
        insta::assert_snapshot!(load.return_path(&sent(100, 20_000)).bypasses(), @r"
        return path does not hold: of 100 requests (1000 bytes asked, 2000000 answered): no answer comes back through lb
                           packets              bytes      a request  allowed
          sent by eth0         400            2026400          20264
          sent by eth1         400              27400            274
          of that payload           1938600..=2026600  19386..=20266     1000  <- 1937600 bytes or more came back this way, as much as 97 of 100 answers
          a packet has 34 to 144 bytes of headers, so 4 of 100 answers could go unseen
        ");
        insta::assert_snapshot!(load.return_path(&sent(0, 20_000)).passes(), @r"
        return path does not hold: of 100 requests (1000 bytes asked, 2000000 answered): all answers come back through lb
                           packets      bytes  a request          allowed
          sent by eth0           0          0          0
          sent by eth1         400      27400        274
          of that payload           0..=13800    0..=138  2001000 or more  <- 1987200 bytes or more came another way, as much as 100 of 100 answers
          a packet has 34 to 144 bytes of headers, so 2 of 100 answers could go unseen
        ");
    }

    #[test]
    fn a_backend_that_goes_another_way_than_the_others_is_seen() {
        let load = load(20_000);
        let half = sent(50, 20_000);
        assert!(!load.return_path(&half).passes().is_ok() && !load.return_path(&half).bypasses().is_ok());
        let text = load.return_path(&half).passes().to_string();
        assert!(text.contains("as much as 50 of 100 answers"), "{text}");
    }

    #[test]
    fn where_the_requests_did_not_pass_nothing_is_proved() {
        let idle = Sent { node: "lb".to_owned(), interfaces: Vec::new() };
        let text = load(20_000).return_path(&idle).bypasses().to_string();
        assert!(text.contains("the requests did not pass lb"), "{text}");
    }

    #[test]
    fn small_answers_are_nothing_to_judge_by() {
        for verdict in
            [load(20).return_path(&sent(100, 20)).passes(), load(20).return_path(&sent(0, 20)).bypasses()]
        {
            assert!(!verdict.is_ok() && verdict.to_string().contains("too small"), "{verdict}");
        }
        assert!(!traffic([]).return_path(&sent(0, 0)).bypasses().is_ok());
    }
}
