//! Records to answer with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SRV, TXT};

use super::zone;
use crate::lab::LabError;

/// What a name has in DNS, to be [set](super::Dns::set). An address is one by itself: `dns.set("api.example", [addr])?`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a record is in no answer until it is set"]
pub struct DnsRecord {
    data: Data,
    ttl: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(String),
    Mx { preference: u16, exchange: String },
    Ptr(String),
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Txt(Vec<String>),
}

impl DnsRecord {
    fn new(data: Data) -> Self {
        Self { data, ttl: None }
    }

    /// An address: A or AAAA.
    pub fn addr(addr: impl Into<IpAddr>) -> Self {
        Self::new(match addr.into() {
            IpAddr::V4(addr) => Data::A(addr),
            IpAddr::V6(addr) => Data::Aaaa(addr),
        })
    }

    /// The name is another one (CNAME).
    pub fn cname(target: impl Into<String>) -> Self {
        Self::new(Data::Cname(target.into()))
    }

    /// Who takes mail (MX).
    pub fn mx(preference: u16, exchange: impl Into<String>) -> Self {
        Self::new(Data::Mx { preference, exchange: exchange.into() })
    }

    /// The name of an address (PTR), to be set at the address.
    pub fn ptr(name: impl Into<String>) -> Self {
        Self::new(Data::Ptr(name.into()))
    }

    /// Where a service is (SRV, RFC 2782), to be set at a name such as `_http._tcp.example`.
    pub fn srv(priority: u16, weight: u16, port: u16, target: impl Into<String>) -> Self {
        Self::new(Data::Srv { priority, weight, port, target: target.into() })
    }

    /// A text (TXT); more than 255 bytes go out in several strings.
    pub fn txt(text: impl AsRef<str>) -> Self {
        let mut strings = vec![String::new()];
        for character in text.as_ref().chars() {
            match strings.last_mut() {
                // A string of DNS has its length in one byte (RFC 1035, 3.3).
                Some(last) if last.len() + character.len_utf8() <= 255 => last.push(character),
                _ => strings.push(character.to_string()),
            }
        }
        Self::new(Data::Txt(strings))
    }

    /// How many seconds the record may be remembered.
    pub fn ttl(self, seconds: u32) -> Self {
        Self { ttl: Some(seconds), ..self }
    }

    pub(super) fn seconds(&self) -> Option<u32> {
        self.ttl
    }

    pub(super) fn rdata(self) -> Result<RData, LabError> {
        Ok(match self.data {
            Data::A(addr) => RData::A(A(addr)),
            Data::Aaaa(addr) => RData::AAAA(AAAA(addr)),
            Data::Cname(target) => RData::CNAME(CNAME(zone::name(&target)?)),
            Data::Mx { preference, exchange } => RData::MX(MX::new(preference, zone::name(&exchange)?)),
            Data::Ptr(name) => RData::PTR(PTR(zone::name(&name)?)),
            Data::Srv { priority, weight, port, target } => {
                RData::SRV(SRV::new(priority, weight, port, zone::name(&target)?))
            }
            Data::Txt(strings) => RData::TXT(TXT::new(strings)),
        })
    }
}

impl From<IpAddr> for DnsRecord {
    fn from(addr: IpAddr) -> Self {
        Self::addr(addr)
    }
}

impl From<Ipv4Addr> for DnsRecord {
    fn from(addr: Ipv4Addr) -> Self {
        Self::addr(addr)
    }
}

impl From<Ipv6Addr> for DnsRecord {
    fn from(addr: Ipv6Addr) -> Self {
        Self::addr(addr)
    }
}
