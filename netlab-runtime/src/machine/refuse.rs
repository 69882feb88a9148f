//! Interfaces that are not taken, since the machine is reached by them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::nic::{Link, Nic};
use super::raw::{self, ADDRESS, ROUTE, Raw};
use crate::settings;

/// Why an interface should not be taken: what depends on it.
pub(super) fn reasons(nic: &Nic, all: &[Link]) -> io::Result<Vec<String>> {
    let mut reasons = Vec::new();
    if let Some(route) = nic.routes().find(is_default) {
        let via = route.attribute(ROUTE, libc::RTA_GATEWAY).and_then(raw::ip);
        let via = via.map_or_else(String::new, |via| format!(" via {via}"));
        reasons.push(format!("the machine's default route{via} goes through it"));
    }
    let own: Vec<_> = nic.addresses().filter_map(|address| address_of(&address)).collect();
    if let Some(addr) =
        of_ssh(settings::variable("SSH_CONNECTION").as_deref()).filter(|addr| own.contains(addr))
    {
        reasons.push(format!("this session of SSH came to its address {addr}"));
    }
    let connected = local_ends()?;
    if let Some(addr) = own.iter().find(|addr| connected.contains(addr)) {
        reasons.push(format!("a TCP connection is established with its address {addr}"));
    }
    if let Some(master) = all.iter().find(|link| link.index == nic.link.master && link.index != 0) {
        reasons.push(format!("it is a port of `{}`", master.name));
    }
    Ok(reasons)
}

fn is_default(route: &Raw) -> bool {
    /// `RTN_UNICAST`.
    const UNICAST: u8 = 1;
    route.bytes[1] == 0 && route.bytes[7] == UNICAST
}

fn address_of(address: &Raw) -> Option<IpAddr> {
    let own =
        address.attribute(ADDRESS, libc::IFA_LOCAL).or_else(|| address.attribute(ADDRESS, libc::IFA_ADDRESS));
    own.and_then(raw::ip)
}

/// The server's address in `SSH_CONNECTION`: the client's address and port, then the server's (ssh(1)).
fn of_ssh(connection: Option<&str>) -> Option<IpAddr> {
    connection?.split(' ').nth(2)?.parse().ok()
}

/// Addresses that established TCP connections of the calling thread's network namespace have here.
fn local_ends() -> io::Result<Vec<IpAddr>> {
    let mut ends = Vec::new();
    for file in ["tcp", "tcp6"] {
        match fs::read_to_string(format!("/proc/thread-self/net/{file}")) {
            Ok(table) => ends.extend(established(&table)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ends)
}

/// As proc_net(5) has it: `0: 0100007F:0016 0200000A:D431 01 ...`, each address in words of the machine's byte order.
fn established(table: &str) -> impl Iterator<Item = IpAddr> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        let state = fields.nth(1)?;
        if state != "01" {
            return None;
        }
        let (addr, _port) = local.split_once(':')?;
        let words: Option<Vec<u32>> = (0..addr.len() / 8)
            .map(|word| u32::from_str_radix(&addr[word * 8..word * 8 + 8], 16).ok())
            .collect();
        let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_ne_bytes()).collect();
        match bytes.len() {
            4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
            // A connection of IPv4 through a socket of IPv6 is one of IPv4.
            16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_canonical()),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_connections_are_read_in_both_families() {
        let words = |bytes: &[u8]| -> String {
            bytes
                .chunks(4)
                .map(|w| format!("{:08X}", u32::from_ne_bytes(*w.first_chunk().unwrap())))
                .collect()
        };
        let v4 = words(&[10, 0, 0, 1]);
        let mapped = words(&Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped().octets());
        let v6 = words(&"2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
        let table = format!(
            "  sl  local_address rem_address   st\n   0: {v4}:0016 0200000A:D431 01 0\n   1: {v4}:0016 00000000:0000 0A 0\n   \
             2: {mapped}:0016 {v6}:1 01 0\n   3: {v6}:0016 {v6}:1 01 0\n"
        );
        let found: Vec<_> = established(&table).map(|addr| addr.to_string()).collect();
        assert_eq!(found, ["10.0.0.1", "10.0.0.2", "2001:db8::5"]);
    }

    #[test]
    fn the_session_of_ssh_has_an_address_here() {
        assert_eq!(of_ssh(Some("192.0.2.7 51234 192.0.2.1 22")), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(of_ssh(Some("UNKNOWN")), None);
        assert_eq!(of_ssh(None), None);
    }
}
