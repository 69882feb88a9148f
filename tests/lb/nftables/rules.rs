//! Rules, and how they get into the kernel.

use std::fmt;
use std::net::IpAddr;

use netlab::prelude::*;

/// What a new connection's backend is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The next one in turn (`numgen inc`).
    Turn,
    /// Chance (`numgen random`).
    Chance,
    /// The client's address and how many there are (`jhash ip saddr`).
    Source,
    /// The client's address and port, and how many there are.
    Flow,
}

/// What the rules know of a backend.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its addresses, IPv4 and IPv6.
    pub addrs: [IpAddr; 2],
    /// Its hardware address.
    pub mac: String,
    /// 0 is drained.
    pub weight: u32,
}

/// The backends with their weights, as they are in the kernel.
pub fn backends<'n>(weights: impl IntoIterator<Item = (&'n Node, u32)>) -> netlab::Result<Vec<Backend>> {
    let backend = |(node, weight): (&Node, u32)| {
        let mac = node.iface("eth0")?.mac.map(|mac| mac.to_string()).unwrap_or_default();
        Ok(Backend { addrs: [node.addr4().into(), node.addr6().into()], mac, weight })
    };
    weights.into_iter().map(backend).collect()
}

impl By {
    /// An expression of nftables that is as many numbers as the backends weigh together, and the map from these to `what` of a
    /// backend; nothing if no backend is left, since there is no number to choose then.
    ///
    /// `ip` is the family's name in rules, `ip` or `ip6`.
    pub fn map<T: fmt::Display>(
        self,
        ip: &str,
        backends: &[Backend],
        what: impl Fn(&Backend) -> T,
    ) -> Option<String> {
        let mut slots = Vec::new();
        let mut total = 0;
        for backend in backends.iter().filter(|backend| backend.weight > 0) {
            let last = total + backend.weight - 1;
            let range = if last == total { total.to_string() } else { format!("{total}-{last}") };
            slots.push(format!("{range} : {}", what(backend)));
            total = last + 1;
        }
        // With a seed, or every load of the rules would be another hash.
        let number = match self {
            Self::Turn => format!("numgen inc mod {total}"),
            Self::Chance => format!("numgen random mod {total}"),
            Self::Source => format!("jhash {ip} saddr mod {total} seed 0x1"),
            Self::Flow => format!("jhash {ip} saddr . th sport mod {total} seed 0x1"),
        };
        (total > 0).then(|| format!("{number} map {{ {} }}", slots.join(", ")))
    }
}

/// Loads rules as one transaction: all of them at once, or none.
///
/// By hand: `nft -f -`.
pub async fn load(lb: &Node, rules: &str) -> netlab::Result {
    netlab::requires_program("nft");
    let path = lb.file("rules.nft", rules)?;
    let output = lb.command("nft").arg("-f").arg(path).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(netlab::Error::msg(format!("{said}\n{rules}"))) }
}
