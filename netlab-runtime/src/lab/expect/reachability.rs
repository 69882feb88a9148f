//! Who reaches whom, as it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::probe;
use super::seen::{Miss, MissKind, Seen};
use super::service::{Family, Kind, Service};
use super::stand::{Greeting, Stand, Stands};
use super::table;
use crate::kernel::inspect::Protocol;
use crate::lab::{Lab, LabError, Node};
use crate::settings::scaled;

/// How long a probe may go unanswered: as long as TCP waits before it asks again (RFC 6298).
const PATIENCE: Duration = Duration::from_secs(1);

/// Probes at once: each holds a descriptor, and a large lab has pairs by the thousand.
const AT_ONCE: usize = 256;

/// Who reaches whom in a lab: every pair of nodes, by ICMP echo and by TCP to a port that nothing else uses, over IPv4 and IPv6.
/// Its `Display` is a matrix for each IP version, who asks on the left.
///
/// Only pairs that have addresses of a version are in its matrix.
#[derive(Clone, Debug)]
pub struct Reachability {
    lab: String,
    nodes: Vec<String>,
    cells: Vec<Cell>,
}

/// What one node gets from another.
#[derive(Clone, Debug)]
struct Cell {
    family: Family,
    from: usize,
    to: usize,
    icmp: Option<Miss>,
    tcp: Option<Miss>,
}

/// A pair to be probed.
struct Pair {
    family: Family,
    from: Node,
    to: Node,
    addr: IpAddr,
    port: u16,
    stand: Stand,
}

impl Lab {
    /// Finds out who reaches whom, all pairs at once, each within a second. Print it: `println!("{}", lab.reachability().await?)`.
    ///
    /// # Errors
    ///
    /// A listener could not be brought up in a node.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn reachability(&self) -> Result<Reachability, LabError> {
        let nodes: Vec<Node> = self.nodes().into_iter().filter(|node| !node.addrs().is_empty()).collect();
        let mut stands = Stands::default();
        let mut pairs = Vec::new();
        for family in Family::BOTH {
            let any: IpAddr = match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            };
            for to in nodes.iter().filter(|node| family.is_on(node)) {
                let port = stands.listen(to, Protocol::Tcp, SocketAddr::new(any, 0)).map_err(|error| {
                    LabError::io(format!("node `{}`: no listener for who reaches it", to.name()), error)
                })?;
                let stand = Stand::Own(Greeting::of(to));
                for from in nodes.iter().filter(|from| *from != to && family.is_on(from)) {
                    let addrs = Service::new(to, Kind::Icmp).addrs(from)?;
                    if let Some(addr) = addrs.into_iter().find(|addr| Family::of(*addr) == family) {
                        let (from, to, stand) = (from.clone(), to.clone(), stand.clone());
                        pairs.push(Pair { family, from, to, addr, port, stand });
                    }
                }
            }
        }
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for pair in pairs {
            let (lab, permits) = (self.clone(), Arc::clone(&permits));
            tasks.spawn(async move { pair.probe(&lab, &permits).await });
        }
        let mut cells = tasks.join_all().await;
        stands.end().await;
        let order = |cell: &Cell| (cell.family, cell.from, cell.to);
        cells.sort_by_key(order);
        let nodes = self.nodes().iter().map(|node| node.name().to_owned()).collect();
        Ok(Reachability { lab: self.name().to_owned(), nodes, cells })
    }
}

impl Pair {
    async fn probe(self, lab: &Lab, permits: &Semaphore) -> Cell {
        let Self { family, from, to, addr, port, stand } = self;
        // It is never closed.
        let _permit = permits.acquire().await;
        let patience = scaled(PATIENCE);
        let (icmp, tcp) = tokio::join!(
            timeout(patience, probe::echo(lab, &from, addr)),
            timeout(patience, probe::tcp(lab, &from, SocketAddr::new(addr, port), &stand)),
        );
        let missed = |seen: Result<Seen, _>| match seen {
            Ok(Seen::Missed { miss, .. }) => Some(miss),
            Ok(_reached) => None,
            Err(_elapsed) => Some(Miss::new(MissKind::TimedOut)),
        };
        Cell { family, from: from.index(), to: to.index(), icmp: missed(icmp), tcp: missed(tcp) }
    }
}

impl Reachability {
    /// Whether everybody reaches everybody.
    pub fn is_complete(&self) -> bool {
        self.cells.iter().all(|cell| cell.icmp.is_none() && cell.tcp.is_none())
    }

    /// Whether one node reaches another by ICMP and by TCP, over every IP version of which both have an address, and at least one.
    pub fn reaches(&self, from: &Node, to: &Node) -> bool {
        let mut cells = self.between(from, to).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.icmp.is_none() && cell.tcp.is_none())
    }

    /// Why one node does not reach another, by whatever it was tried.
    pub fn misses(&self, from: &Node, to: &Node) -> Vec<Miss> {
        self.between(from, to).flat_map(|cell| cell.icmp.iter().chain(&cell.tcp)).cloned().collect()
    }

    fn between(&self, from: &Node, to: &Node) -> impl Iterator<Item = &Cell> {
        let (from, to) = (from.index(), to.index());
        self.cells.iter().filter(move |cell| cell.from == from && cell.to == to)
    }

    /// The matrix of one IP version; none if nobody has addresses of it.
    fn matrix(&self, family: Family) -> Option<Vec<Vec<String>>> {
        let cells: Vec<_> = self.cells.iter().filter(|cell| cell.family == family).collect();
        let mut there: Vec<usize> = cells.iter().flat_map(|cell| [cell.from, cell.to]).collect();
        there.sort_unstable();
        there.dedup();
        let name = |index: &usize| self.nodes[*index].clone();
        let mut rows = vec![std::iter::once(family.to_string()).chain(there.iter().map(name)).collect()];
        for from in &there {
            let to = there.iter().map(|to| {
                let cell = cells.iter().find(|cell| cell.from == *from && cell.to == *to);
                cell.map_or_else(|| "·".to_owned(), ToString::to_string)
            });
            rows.push(std::iter::once(name(from)).chain(to).collect());
        }
        (!cells.is_empty()).then_some(rows)
    }
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lab `{}`: who (left) reaches whom (above), by ICMP echo and TCP", self.lab)?;
        for matrix in Family::BOTH.into_iter().filter_map(|family| self.matrix(family)) {
            f.write_str("\n")?;
            table::write(f, &matrix)?;
        }
        Ok(())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.icmp, &self.tcp) {
            (None, None) => f.write_str("✓"),
            (Some(icmp), Some(tcp)) if icmp == tcp => write!(f, "✗ {icmp}"),
            (Some(icmp), Some(tcp)) => write!(f, "✗ icmp {icmp}, tcp {tcp}"),
            (Some(icmp), None) => write!(f, "✗ icmp {icmp}"),
            (None, Some(tcp)) => write!(f, "✗ tcp {tcp}"),
        }
    }
}
