//! Values as text: addresses, numbers, names. No tokens here; each answers with a value or with what is wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::{AttachmentAddr, HostPart};
use crate::plan::{Family, Proto};

/// What is wrong with a value: the label that stands beside the caret.
pub(super) type Wrong = String;

/// An address with its prefix length, as of a subnet.
pub(super) fn subnet(text: &str) -> Result<IpNet, Wrong> {
    text.parse().map_err(|_parse| match text.parse::<IpAddr>() {
        Ok(addr) => {
            format!("the prefix length is missing, as in `{addr}/{}`", if addr.is_ipv4() { 24 } else { 64 })
        }
        Err(_parse) => "expected a subnet, as in `192.168.1.0/24` or `2001:db8::/64`".to_owned(),
    })
}

/// An address of a node, whose prefix length may be left out.
pub(super) fn addr_or_subnet(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(addr));
    }
    text.parse().map_err(|_parse| "expected an address, as in `8.8.8.8/32`".to_owned())
}

/// An address of an interface that is on no net, with the prefix length of the subnet it is on.
pub(super) fn addr_with_prefix(text: &str) -> Result<IpNet, Wrong> {
    subnet(text).map_err(|wrong| match text.parse::<IpAddr>() {
        Ok(_) => wrong,
        Err(_parse) => {
            "expected an address with its prefix length, as in `10.1.1.83/24` or `2001:db8::b/64`".to_owned()
        }
    })
}

/// An address of an attachment: whole, or its host part.
pub(super) fn attachment_addr(text: &str) -> Result<AttachmentAddr, Wrong> {
    if let Some(part) = text.strip_prefix('.') {
        return host_part_v4(part).map(AttachmentAddr::Host);
    }
    if let Some((addr, _)) = text.split_once('/')
        && addr.parse::<IpAddr>().is_ok()
    {
        return Err(format!("the prefix length is that of the net: write `{addr}`"));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(addr)) if text.starts_with("::") => HostPart::new(Family::V6, u128::from(addr))
            .map(AttachmentAddr::Host)
            .ok_or_else(|| "a host part of IPv6 begins with `::`".to_owned()),
        Ok(addr) => Ok(AttachmentAddr::Full(addr)),
        Err(_parse) => {
            Err("expected an address, as in `.11`, `::b`, `192.168.1.11` or `2001:db8::b`".to_owned())
        }
    }
}

fn host_part_v4(text: &str) -> Result<HostPart, Wrong> {
    let wrong =
        || "expected the last parts of an IPv4 address, each at most 255, as in `.11` or `.1.11`".to_owned();
    let mut number = 0;
    let mut parts = 0;
    for part in text.split('.') {
        let octet: u8 = if part.bytes().all(|b| b.is_ascii_digit()) {
            part.parse().map_err(|_parse| wrong())?
        } else {
            return Err(wrong());
        };
        number = number << 8 | u128::from(octet);
        parts += 1;
    }
    if parts > 3 {
        return Err(wrong());
    }
    HostPart::new(Family::V4, number).ok_or_else(wrong)
}

/// How a host part is written.
pub(super) fn write_host_part(part: HostPart) -> String {
    match part.family() {
        Family::V4 => {
            let [_, a, b, c] = u32::try_from(part.number()).unwrap_or(u32::MAX).to_be_bytes();
            match (a, b) {
                (0, 0) => format!(".{c}"),
                (0, b) => format!(".{b}.{c}"),
                (a, b) => format!(".{a}.{b}.{c}"),
            }
        }
        Family::V6 => {
            // Not `Ipv6Addr`'s own form, which puts the `::` where the most zeros are.
            let segments = Ipv6Addr::from(part.number()).segments();
            let first = segments.iter().position(|s| *s != 0).unwrap_or(segments.len());
            let rest: Vec<String> = segments[first..].iter().map(|s| format!("{s:x}")).collect();
            format!("::{}", rest.join(":"))
        }
    }
}

/// A whole number in decimal digits.
pub(super) fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Wrong> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_parse| format!("too large for {what}"))
    } else {
        Err(format!("expected {what}"))
    }
}

/// A port, 1 to 65535.
pub(super) fn port(text: &str) -> Result<u16, Wrong> {
    match number(text, "a port, 1 to 65535")? {
        0 => Err("expected a port, 1 to 65535".to_owned()),
        port => Ok(port),
    }
}

/// A port with its protocol, as in `8080/tcp`.
pub(super) fn port_and_proto(text: &str) -> Result<(u16, Proto), Wrong> {
    let expected = "expected a port and a protocol, as in `8080/tcp` or `53/udp`";
    let (number, proto) = text.split_once('/').ok_or(expected)?;
    let proto = match proto {
        "tcp" => Proto::Tcp,
        "udp" => Proto::Udp,
        _ => return Err(expected.to_owned()),
    };
    Ok((port(number)?, proto))
}

/// An IPv4 address, for where IPv6 needs brackets.
pub(super) fn ipv4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}
