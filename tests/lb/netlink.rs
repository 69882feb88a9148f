//! Requests to a node's kernel for what netlab itself never makes.

use std::fmt::Debug;
use std::io;

use netlab::prelude::*;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::Socket;

/// A netlink socket in a node.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// Opens one of a family (`NETLINK_ROUTE`, `NETLINK_GENERIC`).
    pub fn open(node: &Node, family: isize) -> io::Result<Self> {
        Ok(Self { socket: node.enter(|| Socket::new(family))? })
    }

    /// Sends a request, and gives what is answered before the acknowledgement. The kernel has then done it (`netlink_unicast_kernel`
    /// in net/netlink/af_netlink.c), so that nothing here waits.
    pub fn request<M>(&self, message: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut answers = Vec::new();
        loop {
            let (received, _kernel) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<M>::deserialize(&received).map_err(io::Error::other)?;
            match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                other => return Err(io::Error::other(format!("unexpected answer of netlink: {other:?}"))),
            }
        }
    }
}
