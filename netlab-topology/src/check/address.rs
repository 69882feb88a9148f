//! Addresses as numbers, so that IPv4 and IPv6 are one code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::plan::Family;

/// How errors call a family.
pub(super) fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Both families, in the order everything goes by.
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// A subnet of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    pub family: Family,
    /// Its first address, as a number.
    pub first: u128,
    pub prefix: u8,
}

impl Subnet {
    pub fn of(net: IpNet) -> Self {
        let net = net.trunc();
        Self { family: Family::of(net.addr()), first: number(net.addr()), prefix: net.prefix_len() }
    }

    /// As the plan has it.
    pub fn net(self) -> IpNet {
        self.addr(0)
    }

    fn host_bits(self) -> u32 {
        let bits = match self.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        bits - u32::from(self.prefix)
    }

    fn host_mask(self) -> u128 {
        u128::MAX.checked_shr(128 - self.host_bits()).unwrap_or(0)
    }

    /// Its last address, as a number.
    pub fn last(self) -> u128 {
        self.first | self.host_mask()
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.family == other.family && self.first <= other.last() && other.first <= self.last()
    }

    /// The number of an address in the subnet, if it is there.
    pub fn number_of(self, addr: IpAddr) -> Option<u128> {
        let number = number(addr);
        (Family::of(addr) == self.family && (self.first..=self.last()).contains(&number))
            .then(|| number - self.first)
    }

    pub fn contains(self, addr: IpAddr) -> bool {
        self.number_of(addr).is_some()
    }

    /// The numbers that nodes may have.
    ///
    /// IPv4 keeps the first for the network and the last for broadcast, but for /31 (RFC 3021) and /32; IPv6 keeps
    /// the first for the subnet-router anycast address (RFC 4291, section 2.6.1), but for /127 (RFC 6164) and /128.
    pub fn usable(self) -> RangeInclusive<u128> {
        let mask = self.host_mask();
        match (self.host_bits(), self.family) {
            (0 | 1, _) => 0..=mask,
            (_, Family::V4) => 1..=mask - 1,
            (_, Family::V6) => 1..=mask,
        }
    }

    /// The address with this number, with the subnet's prefix length.
    pub fn addr(self, host: u128) -> IpNet {
        let addr = from_number(self.family, self.first | (host & self.host_mask()));
        IpNet::new(addr, self.prefix).unwrap_or_else(|_too_long| IpNet::from(addr))
    }
}

/// An address as a number.
pub(super) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(u32::from(addr)),
        IpAddr::V6(addr) => u128::from(addr),
    }
}

fn from_number(family: Family, number: u128) -> IpAddr {
    match family {
        // The upper bits are zero: the number comes from an address of the family.
        Family::V4 => IpAddr::V4(Ipv4Addr::from(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// Ranges no interface can have an address in, and why.
const UNUSABLE: [(&str, &str); 9] = [
    ("0.0.0.0/8", "0.0.0.0/8 is \"this network\" (RFC 791)"),
    ("127.0.0.0/8", "127.0.0.0/8 never leaves a node (RFC 1122)"),
    ("224.0.0.0/4", "224.0.0.0/4 is multicast (RFC 5771)"),
    ("255.255.255.255/32", "255.255.255.255 is broadcast (RFC 919)"),
    ("::/127", "`::` and `::1` never leave a node (RFC 4291)"),
    ("::ffff:0:0/96", "::ffff:0:0/96 is IPv4 in the form of IPv6 (RFC 4291)"),
    ("fe80::/10", "fe80::/10 is link-local, the kernel's own (RFC 4291)"),
    ("fec0::/10", "fec0::/10 is no longer used (RFC 3879)"),
    ("ff00::/8", "ff00::/8 is multicast (RFC 4291)"),
];

/// Why nothing can have an address in here, if so.
pub(super) fn unusable(subnet: Subnet) -> Option<&'static str> {
    UNUSABLE
        .iter()
        .find(|(range, _)| range.parse().is_ok_and(|range| Subnet::of(range).overlaps(subnet)))
        .map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::of(text.parse().expect("a subnet"))
    }

    #[test]
    fn both_families_count_alike() {
        for (text, usable) in [
            ("192.168.1.0/24", 1..=254),
            ("10.0.0.0/30", 1..=2),
            ("10.0.0.0/31", 0..=1),
            ("10.0.0.1/32", 0..=0),
            ("2001:db8::/126", 1..=3),
            ("2001:db8::/127", 0..=1),
            ("2001:db8::1/128", 0..=0),
            ("::/0", 1..=u128::MAX),
        ] {
            assert_eq!(subnet(text).usable(), usable, "{text}");
        }
        assert_eq!(subnet("192.168.1.0/24").addr(11).to_string(), "192.168.1.11/24");
        assert_eq!(subnet("2001:db8::/64").addr(11).to_string(), "2001:db8::b/64");
    }

    #[test]
    fn every_unusable_range_is_one() {
        for (range, _) in UNUSABLE {
            assert!(unusable(subnet(range)).is_some(), "{range}");
        }
        for range in ["192.168.1.0/24", "10.0.0.0/8", "2001:db8::/32", "fd00::/8", "169.254.0.0/16"] {
            assert_eq!(unusable(subnet(range)), None, "{range}");
        }
    }
}
