//! The records there are, by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::rr::{Name, RData, Record, RecordType};
use netlab_topology::Plan;

use super::{DnsFailure, DnsRecord};
use crate::lab::LabError;

/// How many seconds a record may be remembered that does not say: not longer than a test takes to change its mind.
const TTL: u32 = 1;
/// How many aliases are followed (CNAME): a loop is to end.
const ALIASES: usize = 8;

/// What a server knows.
#[derive(Debug)]
pub(super) struct Zone {
    records: BTreeMap<Name, Vec<(RData, Option<u32>)>>,
    failures: BTreeMap<Name, DnsFailure>,
    ttl: u32,
}

/// What there is for a question.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Records(Vec<Record>),
    /// The name has records, but none of this type.
    OtherTypes,
    NoSuchName,
}

/// A name as it is looked up: absolute, in lower case. An address is its name in `in-addr.arpa` or `ip6.arpa`.
pub(super) fn name(text: &str) -> Result<Name, LabError> {
    let mut name = match text.parse::<IpAddr>() {
        Ok(addr) => Name::from(addr),
        Err(_no_address) => Name::from_utf8(text)
            .map_err(|error| LabError::msg(format!("`{text}` is no name of DNS: {error}")))?
            .to_lowercase(),
    };
    name.set_fqdn(true);
    Ok(name)
}

impl Zone {
    /// The names of a lab's nodes, as `/etc/hosts` has them, and back.
    pub(super) fn of(plan: &Plan) -> Result<Self, LabError> {
        let mut zone = Self { records: BTreeMap::new(), failures: BTreeMap::new(), ttl: TTL };
        for entry in plan.hosts() {
            for host in &entry.names {
                zone.add(host, entry.addr)?;
            }
            if let Some(canonical) = entry.names.first() {
                zone.add(&entry.addr.to_string(), DnsRecord::ptr(canonical))?;
            }
        }
        Ok(zone)
    }

    pub(super) fn add(&mut self, at: &str, record: impl Into<DnsRecord>) -> Result<(), LabError> {
        let record = record.into();
        let ttl = record.seconds();
        self.records.entry(name(at)?).or_default().push((record.rdata()?, ttl));
        Ok(())
    }

    pub(super) fn remove(&mut self, at: &str) -> Result<(), LabError> {
        self.records.remove(&name(at)?);
        Ok(())
    }

    pub(super) fn set_ttl(&mut self, seconds: u32) {
        self.ttl = seconds;
    }

    pub(super) fn fail(&mut self, at: &str, failure: Option<DnsFailure>) -> Result<(), LabError> {
        let name = name(at)?;
        match failure {
            Some(failure) => self.failures.insert(name, failure),
            None => self.failures.remove(&name),
        };
        Ok(())
    }

    pub(super) fn failure(&self, at: &Name) -> Option<DnsFailure> {
        self.failures.get(&at.to_lowercase()).copied()
    }

    /// Answers a question, aliases included.
    pub(super) fn find(&self, question: &Name, kind: RecordType) -> Found {
        let mut answers = Vec::new();
        let mut at = question.to_lowercase();
        for _ in 0..ALIASES {
            let Some(records) = self.records.get(&at) else { break };
            let here = |wanted: RecordType| {
                let matching = records
                    .iter()
                    .filter(move |(data, _)| wanted == RecordType::ANY || data.record_type() == wanted);
                let owner = if answers.is_empty() { question.clone() } else { at.clone() };
                let record = move |(data, ttl): &(RData, Option<u32>)| {
                    Record::from_rdata(owner.clone(), ttl.unwrap_or(self.ttl), data.clone())
                };
                matching.map(record).collect::<Vec<_>>()
            };
            let found = here(kind);
            if !found.is_empty() {
                answers.extend(found);
                break;
            }
            let alias = here(RecordType::CNAME);
            let Some(RData::CNAME(target)) = alias.first().map(|record| &record.data) else { break };
            let target = target.0.to_lowercase();
            answers.extend(alias);
            at = target;
        }
        match (answers.is_empty(), self.records.contains_key(&question.to_lowercase())) {
            (false, _) => Found::Records(answers),
            (true, true) => Found::OtherTypes,
            (true, false) => Found::NoSuchName,
        }
    }
}
