//! The server, and what it is told.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::zone::Zone;
use super::{DnsRecord, answer};
use crate::kernel::inspect::Protocol;
use crate::lab::{Lab, LabError, Node};
use crate::servers::{Connection, Datagram, Listen, Server, Serving};

impl Lab {
    /// Starts a DNS server on port 53 of a node, UDP and TCP. It knows the names that `/etc/hosts` of the nodes has, and the names of their
    /// addresses; [`Dns::set`] and [`Dns::add`] tell it more while it runs.
    ///
    /// Nobody asks it yet: [`use_dns`](Self::use_dns) and [`Node::set_name_servers`] see to that.
    ///
    /// # Errors
    ///
    /// As [`Node::serve`].
    pub async fn dns_server(&self, node: &Node) -> Result<Serving<Dns>, LabError> {
        let state = Mutex::new(State { zone: Zone::of(self.plan())?, queries: Vec::new() });
        node.serve(Dns { state }).await
    }

    /// Makes a DNS server that of every node, in the place of what they had.
    ///
    /// Names of nodes are still looked up in `/etc/hosts` first, by those who follow `/etc/nsswitch.conf`.
    ///
    /// # Errors
    ///
    /// As [`Node::set_name_servers`].
    pub fn use_dns(&self, server: &Serving<Dns>) -> Result<(), LabError> {
        self.nodes().iter().try_for_each(|node| node.set_name_servers([server.node()]))
    }
}

/// A DNS server: [`Lab::dns_server`]. Its settings may be changed while it runs; the controls are those of every [`Serving`].
pub struct Dns {
    state: Mutex<State>,
}

struct State {
    zone: Zone,
    queries: Vec<DnsQuery>,
}

/// How a name fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsFailure {
    /// There is no such name (RFC 1035: name error).
    NxDomain,
    /// The server has a problem.
    ServFail,
    /// The server does not want to.
    Refused,
    /// No answer comes.
    Timeout,
    /// By UDP the answer is cut to nothing, and the client is to ask again by TCP, where it gets it.
    Truncated,
}

/// A question that a server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsQuery {
    /// Who asked.
    pub peer: SocketAddr,
    /// By what.
    pub protocol: Protocol,
    /// The name, with the dot at its end.
    pub name: String,
    /// The type: `A`, `AAAA`, `SRV`, ...
    pub kind: String,
}

impl Dns {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves records that were set, or not yet.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the name has these records, and no others. The name may be an address, for its PTR records.
    ///
    /// # Errors
    ///
    /// It is no name of DNS; nothing is changed then.
    pub fn set<R: Into<DnsRecord>>(
        &self,
        name: &str,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), LabError> {
        let records: Vec<DnsRecord> = records.into_iter().map(Into::into).collect();
        for record in &records {
            record.clone().rdata()?;
        }
        let zone = &mut self.state().zone;
        zone.remove(name)?;
        records.into_iter().try_for_each(|record| zone.add(name, record))
    }

    /// From now on the name has this record as well.
    ///
    /// # Errors
    ///
    /// It is no name of DNS.
    pub fn add(&self, name: &str, record: impl Into<DnsRecord>) -> Result<(), LabError> {
        self.state().zone.add(name, record)
    }

    /// From now on the name is not there.
    ///
    /// # Errors
    ///
    /// It is no name of DNS.
    pub fn remove(&self, name: &str) -> Result<(), LabError> {
        self.state().zone.remove(name)
    }

    /// For how many seconds a record may be remembered that has no [ttl](DnsRecord::ttl) of its own; 1 unless set.
    pub fn set_ttl(&self, seconds: u32) {
        self.state().zone.set_ttl(seconds);
    }

    /// From now on questions for the name fail, whatever their type, until it is [healed](Self::heal).
    ///
    /// # Errors
    ///
    /// It is no name of DNS.
    pub fn fail(&self, name: &str, failure: DnsFailure) -> Result<(), LabError> {
        self.state().zone.fail(name, Some(failure))
    }

    /// From now on questions for the name are answered again.
    ///
    /// # Errors
    ///
    /// It is no name of DNS.
    pub fn heal(&self, name: &str) -> Result<(), LabError> {
        self.state().zone.fail(name, None)
    }

    /// What it was asked so far, in order.
    pub fn queries(&self) -> Vec<DnsQuery> {
        self.state().queries.clone()
    }

    fn respond(&self, request: &Message, peer: SocketAddr, protocol: Protocol) -> Option<Vec<u8>> {
        let mut state = self.state();
        let asked = request.queries.iter().map(|query| DnsQuery {
            peer,
            protocol,
            name: query.name.to_utf8(),
            kind: query.query_type.to_string(),
        });
        state.queries.extend(asked);
        answer::answer(&state.zone, request, protocol)
    }
}

impl Server for Dns {
    fn kind(&self) -> &str {
        "DNS server"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![Listen::udp(53), Listen::tcp(53)]
    }

    /// Messages with their length before them (RFC 1035, 4.2.2).
    async fn connection(self: Arc<Self>, mut connection: Connection) -> io::Result<()> {
        let (meter, peer) = (connection.meter(), connection.peer());
        loop {
            let length = match connection.read_u16().await {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut message = vec![0; length.into()];
            connection.read_exact(&mut message).await?;
            let Some(request) = answer::read(&message) else { return Err(io::ErrorKind::InvalidData.into()) };
            meter.request();
            let Some(mut response) = self.respond(&request, peer, Protocol::Tcp) else {
                return pending().await;
            };
            let length = u16::try_from(response.len()).map_err(io::Error::other)?;
            response.splice(..0, length.to_be_bytes());
            connection.write_all(&response).await?;
        }
    }

    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        let request = answer::read(datagram.data)?;
        self.respond(&request, datagram.peer, Protocol::Udp)
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}
