//! Expectations spelled out: a row for each IP version.

use std::net::SocketAddr;

use super::expected::{Expected, Said};
use super::service::{Family, Kind, Service};
use crate::lab::Node;

/// One line of the table, and one probe.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) from: Node,
    pub(super) to: Service,
    /// Where it is sent; or why there is nowhere to send it.
    pub(super) at: Result<SocketAddr, String>,
    pub(super) expected: Expected,
}

impl Row {
    fn family(&self) -> Option<Family> {
        self.at.as_ref().ok().map(|at| Family::of(at.ip()))
    }

    pub(super) fn cells(&self) -> [String; 4] {
        let at = match &self.at {
            Ok(at) if self.to.behind.is_some() => at.to_string(),
            Ok(at) => at.ip().to_string(),
            Err(_) => String::new(),
        };
        [self.from.name().to_owned(), self.to.to_string(), at, self.expected.to_string()]
    }
}

/// The rows of what was said, in its order.
pub(super) fn rows(said: &[Said]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut kept_out: Vec<Row> = Vec::new();
    for said in said {
        let spelled_out = spell_out(said);
        match said.expected {
            Expected::NotReached => kept_out.clone_from(&spelled_out),
            Expected::Control => rows.extend(uncontrolled(&kept_out, &spelled_out)),
            _ => {}
        }
        rows.extend(spelled_out);
    }
    rows
}

/// A row for every IP version in which something is not to be reached, and its control has no addresses.
fn uncontrolled(kept_out: &[Row], controls: &[Row]) -> Vec<Row> {
    let without = kept_out.iter().filter_map(|row| {
        let family = row.family()?;
        let control = controls.first()?;
        let problem = format!("no control over {family}, of which they have no addresses: narrow both");
        let missing = controls.iter().all(|control| control.family() != Some(family));
        missing.then(|| Row { at: Err(problem), ..control.clone() })
    });
    without.collect()
}

fn spell_out(said: &Said) -> Vec<Row> {
    let Said { from, to, expected } = said;
    let row = |at| Row { from: from.clone(), to: to.clone(), at, expected: expected.clone() };
    let addrs = match to.addrs(from) {
        Ok(addrs) => addrs,
        Err(problem) => return vec![row(Err(format!("{problem:#}")))],
    };
    let wrong = match (expected, to.kind) {
        (Expected::Loss { .. }, Kind::Port(..)) => {
            Some("loss is counted by ICMP echo: give a node, or `.icmp()`")
        }
        (Expected::Loss { probes, .. }, _) if u16::try_from(*probes).is_err() => {
            Some("ICMP numbers no more than 65535 echoes")
        }
        (Expected::Mtu(_), Kind::Port(..)) => {
            Some("a path's MTU is found by ICMP echo: give a node, or `.icmp()`")
        }
        (Expected::Source(_), Kind::Icmp) => {
            Some("whom ICMP echo comes from cannot be asked: give `.tcp(..)` or `.udp(..)`")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return vec![row(Err(wrong.to_owned()))];
    }
    // What is seen of a source is of one IP version.
    let only = match expected {
        Expected::Source(addr) => Some(Family::of(*addr)),
        _ => to.family,
    };
    let families = Family::BOTH.into_iter().filter(|family| only.is_none_or(|only| only == *family));
    let at = families.filter_map(|family| {
        // A node without an address of its own may reach what is in itself.
        let near = from == &to.node || family.is_on(from);
        addrs.iter().find(|addr| near && Family::of(**addr) == family)
    });
    let rows: Vec<_> = at.map(|addr| row(Ok(SocketAddr::new(*addr, to.port())))).collect();
    if rows.is_empty() {
        let version = only.map_or_else(|| "one IP version".to_owned(), |family| family.to_string());
        return vec![row(Err(format!("the two have no addresses of {version}")))];
    }
    rows
}
