//! A DNS server that knows the lab's names, and answers as it is told: `lab.dns_server(&node)`.
//!
//! The messages are hickory-proto's; the sockets and the controls are those of every server.

mod answer;
mod record;
mod server;
mod zone;

pub use record::DnsRecord;
pub use server::{Dns, DnsFailure, DnsQuery};
