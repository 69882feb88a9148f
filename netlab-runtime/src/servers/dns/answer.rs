//! From a message to the message that answers it.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};

use super::DnsFailure;
use super::zone::{Found, Zone};
use crate::kernel::inspect::Protocol;

/// What a datagram may hold unless the question says that more is welcome (RFC 1035, 2.3.4; RFC 6891).
const DATAGRAM: u16 = 512;
/// What we say is welcome: what goes through everywhere unfragmented (DNS flag day 2020).
const WELCOME: u16 = 1232;

/// The question of a message, if it is one that can be answered.
pub(super) fn read(message: &[u8]) -> Option<Message> {
    let message = Message::from_vec(message).ok()?;
    (message.metadata.message_type == MessageType::Query && !message.queries.is_empty()).then_some(message)
}

/// The answer; none where silence is.
pub(super) fn answer(zone: &Zone, request: &Message, protocol: Protocol) -> Option<Vec<u8>> {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata = Metadata::response_from_request(&request.metadata);
    response.metadata.authoritative = true;
    // Nobody else is asked, but clients that only ask recursive servers ask us.
    response.metadata.recursion_available = true;
    response.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(WELCOME);
        response.set_edns(edns);
    }
    let question = request.queries.first()?;
    let failure = zone.failure(&question.name);
    let code = match failure {
        Some(DnsFailure::Timeout) => return None,
        Some(DnsFailure::Truncated) if protocol == Protocol::Udp => {
            return written(&response.truncate());
        }
        Some(DnsFailure::NxDomain) => ResponseCode::NXDomain,
        Some(DnsFailure::ServFail) => ResponseCode::ServFail,
        Some(DnsFailure::Refused) => ResponseCode::Refused,
        Some(DnsFailure::Truncated) | None if request.metadata.op_code != OpCode::Query => {
            ResponseCode::NotImp
        }
        Some(DnsFailure::Truncated) | None => match zone.find(&question.name, question.query_type) {
            Found::Records(records) => {
                response.add_answers(records);
                ResponseCode::NoError
            }
            Found::OtherTypes => ResponseCode::NoError,
            Found::NoSuchName => ResponseCode::NXDomain,
        },
    };
    response.metadata.response_code = code;
    let whole = written(&response)?;
    let room = request.edns.as_ref().map_or(DATAGRAM, |edns| edns.max_payload().max(DATAGRAM));
    if protocol == Protocol::Udp && whole.len() > usize::from(room) {
        return written(&response.truncate());
    }
    Some(whole)
}

/// A message as bytes. One that cannot be written is one of ours, and a failure of the server's.
fn written(message: &Message) -> Option<Vec<u8>> {
    let written = message.to_vec().or_else(|error| {
        eprintln!("netlab: a DNS answer cannot be written: {error}");
        let Metadata { id, op_code, .. } = message.metadata;
        Message::error_msg(id, op_code, ResponseCode::ServFail).to_vec()
    });
    written.ok()
}
