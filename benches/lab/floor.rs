//! The floor: scenario A as the shortest program that could be written for it, one hand-made batch of netlink
//! messages per namespace, nothing checked, nothing general, nobody told.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::sched::CloneFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, socket,
};

// Values from `include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h` and `netfilter/nf_tables.h`.
const ACK: u16 = 0x04;
const CREATE: u16 = 0x400 | 0x200;
const NEWLINK: u16 = 16;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const NESTED: u16 = 0x8000;

/// A namespace with its route socket, as the floor holds one.
pub struct Namespace {
    pub fd: OwnedFd,
    pub route: OwnedFd,
}

/// Netlink messages one after another, as they go into one `sendmsg`.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Batch {
    fn message(&mut self, kind: u16, flags: u16, body: &[u8], attributes: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.starts.push(start);
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((1 | flags).to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(body);
        attributes(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Has the kernel answer the message that starts at `start`.
    fn acknowledge(&mut self, start: usize) {
        let flags = u16::from_ne_bytes([self.bytes[start + 6], self.bytes[start + 7]]) | ACK;
        self.bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn send(mut self, socket: &OwnedFd) -> io::Result<()> {
        self.acknowledge(self.starts[self.starts.len() - 1]);
        send(socket.as_raw_fd(), &self.bytes, MsgFlags::empty())?;
        answer(socket)
    }
}

/// The acknowledgement of a batch, or its first error.
fn answer(socket: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    assert!(length >= 20, "a short answer of {length} bytes");
    match i32::from_ne_bytes([buffer[16], buffer[17], buffer[18], buffer[19]]) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn nest(bytes: &mut Vec<u8>, kind: u16, inside: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    inside(bytes);
    let length = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

fn text(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn ifinfo(index: u32, flags: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), flags.to_ne_bytes()].concat()
}

fn bridge(batch: &mut Batch, name: &str, index: u32) {
    batch.message(NEWLINK, CREATE, &ifinfo(index, 1), |bytes| {
        attribute(bytes, 3, &text(name));
        attribute(bytes, 1, &[2, 0, 0, 0, 1, index as u8]);
        nest(bytes, 18, |bytes| {
            attribute(bytes, 1, b"bridge\0");
            nest(bytes, 2, |bytes| {
                attribute(bytes, 1, &0u32.to_ne_bytes());
                attribute(bytes, 23, &[0]);
            });
        });
    });
}

fn port(batch: &mut Batch, name: &str, index: u32, master: u32, peer: RawFd) {
    let end = |bytes: &mut Vec<u8>, name: &str, mac: u8| {
        attribute(bytes, 3, &text(name));
        attribute(bytes, 1, &[2, 0, 0, 0, mac, index as u8]);
        attribute(bytes, 31, &1u32.to_ne_bytes());
        attribute(bytes, 32, &1u32.to_ne_bytes());
    };
    batch.message(NEWLINK, CREATE, &ifinfo(index, 1), |bytes| {
        end(bytes, name, 2);
        attribute(bytes, 10, &master.to_ne_bytes());
        nest(bytes, 18, |bytes| {
            attribute(bytes, 1, b"veth\0");
            nest(bytes, 2, |bytes| {
                nest(bytes, 1 | NESTED, |bytes| {
                    bytes.extend(ifinfo(100, 0));
                    end(bytes, "eth0", 3);
                    attribute(bytes, 28, &peer.to_ne_bytes());
                });
            });
        });
    });
}

fn up(batch: &mut Batch, index: u32) {
    batch.message(SETLINK, 0, &ifinfo(index, 1), |_| {});
}

fn address(batch: &mut Batch, index: u32, addr: [u8; 4], prefix: u8) {
    let body = [&[2, prefix, 0, 0][..], &index.to_ne_bytes()].concat();
    batch.message(NEWADDR, CREATE, &body, |bytes| {
        attribute(bytes, 2, &addr);
        attribute(bytes, 1, &addr);
        if prefix == 24 {
            attribute(bytes, 4, &[addr[0], addr[1], addr[2], 255]);
        }
    });
}

fn default_route(batch: &mut Batch, via: [u8; 4]) {
    // family, lengths, tos, table main, protocol static, scope universe, type unicast, flags
    let body = [&[2, 0, 0, 0, 254, 4, 0, 1][..], &[0; 4]].concat();
    batch.message(NEWROUTE, CREATE, &body, |bytes| {
        attribute(bytes, 5, &via);
        attribute(bytes, 4, &100u32.to_ne_bytes());
    });
}

fn nft(batch: &mut Batch, kind: u16, flags: u16, attributes: impl FnOnce(&mut Vec<u8>)) {
    batch.message(10 << 8 | kind, flags, &[1, 0, 0, 0], attributes);
}

fn expression(bytes: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nest(bytes, 1 | NESTED, |bytes| {
        attribute(bytes, 1, &text(name));
        nest(bytes, 2 | NESTED, data);
    });
}

/// `ip saddr 192.168.1.0/24 oifname wan masquerade`, in one transaction.
fn masquerade(socket: &OwnedFd) -> io::Result<()> {
    let mut batch = Batch::default();
    let subsystem = [0, 0, 0, 10];
    batch.message(16, 0, &subsystem, |_| {});
    nft(&mut batch, 0, CREATE, |bytes| attribute(bytes, 1, b"netlab\0"));
    nft(&mut batch, 3, CREATE, |bytes| {
        attribute(bytes, 1, b"netlab\0");
        attribute(bytes, 3, b"postrouting\0");
        nest(bytes, 4 | NESTED, |bytes| {
            attribute(bytes, 1, &4u32.to_be_bytes());
            attribute(bytes, 2, &100u32.to_be_bytes());
        });
        attribute(bytes, 7, b"nat\0");
    });
    nft(&mut batch, 6, CREATE | 0x800, |bytes| {
        let value = |bytes: &mut Vec<u8>, kind: u16, value: &[u8]| {
            nest(bytes, kind | NESTED, |bytes| attribute(bytes, 1, value));
        };
        attribute(bytes, 1, b"netlab\0");
        attribute(bytes, 2, b"postrouting\0");
        nest(bytes, 4 | NESTED, |bytes| {
            expression(bytes, "meta", |bytes| {
                attribute(bytes, 1, &1u32.to_be_bytes());
                attribute(bytes, 2, &7u32.to_be_bytes());
            });
            let mut name = [0; 16];
            name[..3].copy_from_slice(b"wan");
            expression(bytes, "cmp", |bytes| {
                attribute(bytes, 1, &1u32.to_be_bytes());
                attribute(bytes, 2, &0u32.to_be_bytes());
                value(bytes, 3, &name);
            });
            expression(bytes, "meta", |bytes| {
                attribute(bytes, 1, &1u32.to_be_bytes());
                attribute(bytes, 2, &15u32.to_be_bytes());
            });
            expression(bytes, "cmp", |bytes| {
                attribute(bytes, 1, &1u32.to_be_bytes());
                attribute(bytes, 2, &0u32.to_be_bytes());
                value(bytes, 3, &[2]);
            });
            expression(bytes, "payload", |bytes| {
                attribute(bytes, 1, &1u32.to_be_bytes());
                attribute(bytes, 2, &1u32.to_be_bytes());
                attribute(bytes, 3, &12u32.to_be_bytes());
                attribute(bytes, 4, &3u32.to_be_bytes());
            });
            expression(bytes, "cmp", |bytes| {
                attribute(bytes, 1, &1u32.to_be_bytes());
                attribute(bytes, 2, &0u32.to_be_bytes());
                value(bytes, 3, &[192, 168, 1]);
            });
            expression(bytes, "masq", |_| {});
        });
    });
    batch.message(17, 0, &subsystem, |_| {});
    // The transaction's end answers nothing: the acknowledgement is asked of the message before it.
    let rule = batch.starts[batch.starts.len() - 2];
    batch.acknowledge(rule);
    send(socket.as_raw_fd(), &batch.bytes, MsgFlags::empty())?;
    answer(socket)
}

/// Makes a namespace and leaves the thread in it.
fn namespace() -> io::Result<Namespace> {
    #[expect(clippy::disallowed_methods, reason = "called on threads that end in the namespace they make")]
    nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
    let fd = File::open("/proc/thread-self/ns/net")?.into();
    Ok(Namespace { fd, route: netlink(SockProtocol::NetlinkRoute)? })
}

fn netlink(protocol: SockProtocol) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// Builds scenario A; the calling thread ends in the host's namespace. Returns the namespaces, the host first.
pub fn build() -> io::Result<Vec<Namespace>> {
    let ns1 = namespace()?;
    let ns2 = namespace()?;
    let internet = namespace()?;
    let host = namespace()?;

    let mut batch = Batch::default();
    bridge(&mut batch, "br1", 100);
    bridge(&mut batch, "wan", 101);
    port(&mut batch, "ns1-0", 102, 100, ns1.fd.as_raw_fd());
    port(&mut batch, "ns2-0", 103, 100, ns2.fd.as_raw_fd());
    port(&mut batch, "internet-0", 104, 101, internet.fd.as_raw_fd());
    up(&mut batch, 1);
    address(&mut batch, 100, [192, 168, 1, 10], 24);
    address(&mut batch, 101, [203, 0, 113, 1], 24);
    batch.send(&host.route)?;

    for (namespace, addr) in [(&ns1, 11), (&ns2, 12)] {
        let mut batch = Batch::default();
        up(&mut batch, 1);
        up(&mut batch, 100);
        address(&mut batch, 100, [192, 168, 1, addr], 24);
        default_route(&mut batch, [192, 168, 1, 10]);
        batch.send(&namespace.route)?;
    }
    let mut batch = Batch::default();
    up(&mut batch, 1);
    up(&mut batch, 100);
    address(&mut batch, 1, [8, 8, 8, 8], 32);
    address(&mut batch, 100, [203, 0, 113, 2], 24);
    batch.send(&internet.route)?;

    masquerade(&netlink(SockProtocol::NetlinkNetFilter)?)?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(vec![host, ns1, ns2, internet])
}

/// Builds `count` namespaces on one bridge in a namespace of its own.
pub fn star(count: usize) -> io::Result<Vec<Namespace>> {
    let mut nodes = (0..count).map(|_| namespace()).collect::<io::Result<Vec<_>>>()?;
    let switch = namespace()?;
    let mut batch = Batch::default();
    bridge(&mut batch, "lan", 100);
    for (i, node) in nodes.iter().enumerate() {
        port(&mut batch, &format!("n{i}-0"), 101 + i as u32, 100, node.fd.as_raw_fd());
        // The kernel refuses a send of more than 64 KiB or so.
        if batch.bytes.len() > 60_000 {
            std::mem::take(&mut batch).send(&switch.route)?;
        }
    }
    up(&mut batch, 1);
    batch.send(&switch.route)?;
    for (i, node) in nodes.iter().enumerate() {
        let mut batch = Batch::default();
        up(&mut batch, 1);
        up(&mut batch, 100);
        address(&mut batch, 100, [198, 18, (i / 250) as u8, (i % 250 + 1) as u8], 16);
        batch.send(&node.route)?;
    }
    nodes.push(switch);
    Ok(nodes)
}
