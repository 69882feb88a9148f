//! Netlink messages as bytes.
//!
//! What the kernel tells of an interface is kept as it came, so that what this program does not know is not lost: flags,
//! metrics, lifetimes, protocols, whatever a newer kernel adds.

use std::fmt;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kernel::NetlinkSocket;

/// A message: its type, and what stands behind its header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) kind: u16,
    pub(super) bytes: Vec<u8>,
}

/// Length of the fixed part of messages about links, addresses, routes and neighbours (`include/uapi/linux/rtnetlink.h`,
/// `if_addr.h`, `neighbour.h`).
pub(super) const LINK: usize = 16;
pub(super) const ADDRESS: usize = 8;
pub(super) const ROUTE: usize = 12;
pub(super) const NEIGHBOUR: usize = 12;

impl Raw {
    /// A message whose fixed part is `length` zeros.
    pub(super) fn new(kind: u16, length: usize) -> Self {
        Self { kind, bytes: vec![0; length] }
    }

    /// Writes an integer into the fixed part.
    pub(super) fn set(mut self, at: usize, value: u32) -> Self {
        self.put(at, value);
        self
    }

    pub(super) fn put(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        push(&mut self.bytes, kind, value);
        self
    }

    pub(super) fn get(&self, at: usize) -> u32 {
        integer(self.bytes.get(at..).unwrap_or_default()).unwrap_or(0)
    }

    /// The attributes behind a fixed part of this length.
    pub(super) fn attributes(&self, fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
        attributes(self.bytes.get(fixed..).unwrap_or_default())
    }

    pub(super) fn attribute(&self, fixed: usize, kind: u16) -> Option<&[u8]> {
        self.attributes(fixed).find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The same with each attribute as `change` has it: left away where that gives nothing.
    pub(super) fn map(&self, fixed: usize, change: impl Fn(u16, &[u8]) -> Option<Vec<u8>>) -> Self {
        let mut bytes = self.bytes[..fixed].to_vec();
        for (kind, value) in self.attributes(fixed) {
            if let Some(value) = change(kind, value) {
                push(&mut bytes, kind, &value);
            }
        }
        Self { kind: self.kind, bytes }
    }

    pub(super) fn of(kind: u16, bytes: &Hex) -> Self {
        Self { kind, bytes: bytes.0.clone() }
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, Hex(self.bytes.clone()))
    }
}

/// An attribute's name without the flags for nesting and byte order (`NLA_TYPE_MASK`).
const TYPE_MASK: u16 = 0x3fff;

pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|attribute| {
        let start = attribute.value().as_ptr().addr() - bytes.as_ptr().addr();
        (attribute.kind() & TYPE_MASK, &bytes[start..start + attribute.value_length()])
    })
}

pub(super) fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).expect("no attribute here is that long");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

pub(super) fn integer(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// An IP address of either family.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        16 => bytes.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    }
}

/// A text with or without the zero byte behind it.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

pub(super) fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..self.bytes.len()].copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Raw {
    type Error = std::convert::Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self { kind: header.message_type, bytes: payload.to_vec() })
    }
}

/// Sends one request.
pub(super) fn request(socket: &mut NetlinkSocket, flags: u16, message: Raw) -> io::Result<()> {
    socket.batch(std::iter::once((flags, message))).map_err(|refused| refused.error)
}

/// Asks for a whole table.
pub(super) fn dump(socket: &mut NetlinkSocket, kind: u16, fixed: usize) -> io::Result<Vec<Raw>> {
    socket.dump(|| Raw::new(kind, fixed))
}

/// Bytes, which are written as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                Ok(Self(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
            }
            _ => Err(serde::de::Error::custom("not an even number of hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_out_as_they_went_in() {
        let message = Raw::new(16, LINK).set(4, 7).with(3, b"eth1\0").with(4, &[1, 0, 0, 0]);
        assert_eq!(message.bytes.len(), 16 + 12 + 8);
        assert_eq!(message.get(4), 7);
        assert_eq!(message.attribute(LINK, 3), Some(&b"eth1\0"[..]));
        assert_eq!(message.map(LINK, |_, value| Some(value.to_vec())), message);
        let without = message.map(LINK, |kind, value| (kind != 3).then(|| value.to_vec()));
        assert_eq!(without.attributes(LINK).collect::<Vec<_>>(), [(4, &[1, 0, 0, 0][..])]);
    }

    #[test]
    fn bytes_survive_json() {
        let bytes = Hex(vec![0, 1, 0xfe, 0xff]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(json, "\"0001feff\"");
        assert_eq!(serde_json::from_str::<Hex>(&json).unwrap(), bytes);
        serde_json::from_str::<Hex>("\"000\"").unwrap_err();
        serde_json::from_str::<Hex>("\"0g\"").unwrap_err();
    }
}
