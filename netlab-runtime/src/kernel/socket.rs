//! A netlink socket as netlab uses it: batches of requests with one acknowledgement, and dumps.
//!
//! The kernel handles a request within `sendmsg`: when that returns, everything asked for is done and every
//! reply is queued (`netlink_unicast_kernel` in `net/netlink/af_netlink.c`). A batch therefore never waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};

/// Most bytes in one `sendmsg`: past 64 KiB the kernel answers `ENOBUFS` when memory is short.
const SEND_MAX: usize = 60 * 1024;

/// Room for one reply; the kernel sends a dump in pieces of at most 32 KiB (`netlink_recvmsg`).
const RECEIVE_MAX: usize = 64 * 1024;

/// How often an interrupted dump is asked for again. Only a namespace whose tables never rest gets there.
const DUMP_ATTEMPTS: usize = 20;

/// Requests asked at once: their answers, up to 4 KiB of kernel memory each, have to fit the socket's receive buffer
/// (`net.core.rmem_default`, 208 KiB).
const ASK_MAX: usize = 24;

/// `NLM_F_ACK_TLVS` and `NLMSGERR_ATTR_MSG`, `include/uapi/linux/netlink.h`.
const ACK_TLVS: u16 = 0x200;
const ERROR_MESSAGE: u16 = 1;

/// A netlink socket. It stays in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    socket: Socket,
    sequence: u32,
}

/// What the kernel said against a request.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Which request of those given.
    pub(crate) request: usize,
    pub(crate) error: io::Error,
    /// The kernel's own words (extended acknowledgement).
    pub(crate) detail: Option<String>,
}

impl Refused {
    fn after(self, first: usize) -> Self {
        Self { request: first + self.request, ..self }
    }
}

/// A netlink message as received, without its header.
#[derive(Clone, Copy, Debug)]
struct Reply<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl NetlinkSocket {
    /// Opens a socket of a netlink family in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        // An error is answered with its words, and without the request that it is about.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends requests, each with its flags, in as few `sendmsg` as possible, and says which was refused first.
    ///
    /// The kernel goes on with the rest of a message after a refusal: what follows it may have been done.
    pub(crate) fn batch<M: NetlinkSerializable>(
        &mut self,
        requests: impl ExactSizeIterator<Item = (u16, M)>,
    ) -> Result<(), Refused> {
        let mut buffer = Vec::with_capacity(SEND_MAX.min(requests.len() * 256));
        let mut first = 0;
        let mut last_start = 0;
        let mut count = 0;
        for (flags, message) in requests {
            let start = buffer.len();
            push(&mut buffer, flags | NLM_F_REQUEST, self.numbered(count), message);
            if buffer.len() > SEND_MAX && start > 0 {
                let rest = buffer.split_off(start);
                acknowledge(&mut buffer[last_start..]);
                self.exchange(&buffer, count).map_err(|refused| refused.after(first))?;
                first += count;
                count = 0;
                buffer = rest;
                // It was numbered as one of the former message.
                NetlinkBuffer::new(&mut buffer[..]).set_sequence_number(self.numbered(0));
                last_start = 0;
            } else {
                last_start = start;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        acknowledge(&mut buffer[last_start..]);
        self.exchange(&buffer, count).map_err(|refused| refused.after(first))
    }

    /// Sends requests as one transaction of nfnetlink, between the messages that begin and end it.
    pub(crate) fn transaction<M: NetlinkSerializable>(
        &mut self,
        begin: M,
        requests: impl ExactSizeIterator<Item = (u16, M)>,
        end: M,
    ) -> Result<(), Refused> {
        let total = requests.len();
        let mut buffer = Vec::new();
        push(&mut buffer, NLM_F_REQUEST, self.numbered(0), begin);
        let mut last_start = 0;
        for (index, (flags, message)) in requests.enumerate() {
            last_start = buffer.len();
            push(&mut buffer, flags | NLM_F_REQUEST, self.numbered(index + 1), message);
        }
        // The last request is acknowledged, not the end, which older kernels never do.
        acknowledge(&mut buffer[last_start..]);
        push(&mut buffer, NLM_F_REQUEST, self.numbered(total + 1), end);
        // What is answered to the beginning is about the whole: no such subsystem, not permitted, not committed.
        self.exchange(&buffer, total + 1)
            .map_err(|refused| Refused { request: refused.request.saturating_sub(1), ..refused })
    }

    fn numbered(&self, offset: usize) -> u32 {
        self.sequence.wrapping_add(offset as u32)
    }

    /// Sends messages that are numbered from [`Self::numbered`]`(0)`, the last of `count` to be acknowledged,
    /// and says which was refused first.
    fn exchange(&mut self, buffer: &[u8], count: usize) -> Result<(), Refused> {
        let base = self.sequence;
        self.sequence = self.numbered(count + 1);
        let whole = |error| Refused { request: 0, error, detail: None };
        self.send(buffer).map_err(whole)?;

        let mut acknowledged = false;
        let mut earliest: Option<Refused> = None;
        self.drain(|reply| {
            let request = reply.sequence.wrapping_sub(base) as usize;
            if reply.kind != NLMSG_ERROR || request >= count {
                return;
            }
            match refusal(&reply) {
                None => acknowledged |= request + 1 == count,
                Some((error, detail)) => {
                    if earliest.as_ref().is_none_or(|known| request < known.request) {
                        earliest = Some(Refused { request, error, detail });
                    }
                }
            }
        })
        .map_err(whole)?;
        match earliest {
            Some(refused) => Err(refused),
            None if acknowledged => Ok(()),
            None => Err(whole(io::Error::other("the kernel did not answer"))),
        }
    }

    /// Sends requests that are answered with one message each, and gives the answers that came.
    /// A refused request has none.
    pub(crate) fn ask<M>(&mut self, requests: impl Iterator<Item = M>) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let mut buffer = Vec::new();
        let mut answers = Vec::new();
        for (index, message) in requests.enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            push(&mut buffer, NLM_F_REQUEST, self.sequence, message);
            if index % ASK_MAX == ASK_MAX - 1 {
                self.send(&buffer)?;
                buffer.clear();
                self.collect(&mut answers)?;
            }
        }
        if !buffer.is_empty() {
            self.send(&buffer)?;
            self.collect(&mut answers)?;
        }
        Ok(answers)
    }

    /// Everything that is queued on the socket.
    pub(crate) fn collect<M: NetlinkDeserializable>(&mut self, into: &mut Vec<M>) -> io::Result<()> {
        let mut undecoded = None;
        self.drain(|reply| {
            if reply.kind > NLMSG_DONE {
                match decode(&reply) {
                    Ok(message) => into.push(message),
                    Err(error) => undecoded = Some(error),
                }
            }
        })?;
        undecoded.map_or(Ok(()), Err)
    }

    /// Asks for a whole table.
    ///
    /// A table that changes while it is read comes with `NLM_F_DUMP_INTR` and may miss or repeat entries
    /// (`nl_dump_check_consistent`): it is read again. So it is if an event comes meanwhile on a socket that has
    /// subscribed to any, since nobody would hear of it otherwise.
    pub(crate) fn dump<M>(&mut self, request: impl Fn() -> M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(messages) = self.dump_once(request())? {
                return Ok(messages);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the table changed each time it was read"))
    }

    fn dump_once<M>(&mut self, request: M) -> io::Result<Option<Vec<M>>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut buffer = Vec::new();
        push(&mut buffer, NLM_F_REQUEST | NLM_F_DUMP, self.sequence, request);
        self.send(&buffer)?;
        let mut messages = Vec::new();
        let mut interrupted = false;
        loop {
            let received = self.receive(0)?;
            for reply in replies(&received) {
                let reply = reply?;
                if reply.sequence != self.sequence {
                    // An event of a group that the socket is in: the table has changed, maybe where it was read already.
                    interrupted = true;
                    continue;
                }
                interrupted |= reply.flags & NLM_F_DUMP_INTR != 0;
                match reply.kind {
                    NLMSG_DONE => return Ok((!interrupted).then_some(messages)),
                    NLMSG_ERROR => {
                        if let Some((error, _words)) = refusal(&reply) {
                            return Err(error);
                        }
                    }
                    _ => messages.push(decode(&reply)?),
                }
            }
        }
    }

    /// Joins a multicast group of the family.
    pub(crate) fn subscribe(&self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Leaves a multicast group, and forgets what it sent.
    pub(crate) fn unsubscribe(&mut self, group: u32) -> io::Result<()> {
        self.socket.drop_membership(group)?;
        self.drain(|_event| ())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        debug_assert_eq!(sent, bytes.len(), "netlink takes a message whole or not at all");
        Ok(())
    }

    fn receive(&self, flags: i32) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(RECEIVE_MAX);
        self.socket.recv(&mut buffer, flags)?;
        Ok(buffer)
    }

    /// Hands over all that is queued, without waiting.
    fn drain(&mut self, mut each: impl FnMut(Reply<'_>)) -> io::Result<()> {
        loop {
            match self.receive(libc::MSG_DONTWAIT) {
                Ok(received) => {
                    for reply in replies(&received) {
                        each(reply?);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn push<M: NetlinkSerializable>(buffer: &mut Vec<u8>, flags: u16, sequence: u32, message: M) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let start = buffer.len();
    let length = message.header.length as usize;
    // Every message starts at a multiple of four (`NLMSG_ALIGN`).
    buffer.resize(start + length.next_multiple_of(4), 0);
    message.serialize(&mut buffer[start..start + length]);
}

/// Has the kernel acknowledge the message that stands at the beginning of `bytes`.
fn acknowledge(bytes: &mut [u8]) {
    let mut message = NetlinkBuffer::new(bytes);
    message.set_flags(message.flags() | NLM_F_ACK);
}

fn replies(received: &[u8]) -> impl Iterator<Item = io::Result<Reply<'_>>> {
    let mut rest = received;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = match NetlinkBuffer::new_checked(rest) {
            Ok(message) => message,
            Err(error) => {
                rest = &[];
                return Some(Err(malformed(&error)));
            }
        };
        let length = message.length() as usize;
        let reply = Reply {
            kind: message.message_type(),
            flags: message.flags(),
            sequence: message.sequence_number(),
            payload: &rest[16..length],
        };
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some(Ok(reply))
    })
}

fn decode<M: NetlinkDeserializable>(reply: &Reply<'_>) -> io::Result<M> {
    let mut header = NetlinkHeader::default();
    header.message_type = reply.kind;
    header.flags = reply.flags;
    M::deserialize(&header, reply.payload).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::error::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("netlink message not understood: {error}"))
}

/// The error of an `NLMSG_ERROR`, if it is not an acknowledgement: `struct nlmsgerr`, then, with
/// `NETLINK_CAP_ACK`, attributes directly behind the header of the request.
fn refusal(reply: &Reply<'_>) -> Option<(io::Error, Option<String>)> {
    let code = reply.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 {
        return None;
    }
    let mut detail = None;
    if reply.flags & ACK_TLVS != 0 && reply.payload.len() > 20 {
        for attribute in NlasIterator::new(&reply.payload[20..]).map_while(Result::ok) {
            if attribute.kind() == ERROR_MESSAGE {
                let words = String::from_utf8_lossy(attribute.value());
                detail = Some(words.trim_end_matches(['\0', '.']).to_owned());
            }
        }
    }
    Some((io::Error::from_raw_os_error(-code), detail))
}
