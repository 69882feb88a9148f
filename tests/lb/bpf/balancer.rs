//! A balancer of some fifty instructions: it sends each packet on to the MAC address of a backend, which it chooses by a hash of the
//! client's address and port, and which answers the client directly. It remembers nothing, so connections do not live through a change
//! of its backends, and the suite is not for it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netlab::lb::{Key, LbTest, Load, Misses, Over, Sees, Traffic, Verdict, dsr};
use netlab::prelude::*;

use super::program::Program;
use crate::direct::{answers_go_past, ports};
use crate::suite::{FALSE_ALARM, serve};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 100);
const PORT: u16 = 80;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It never chooses the last backend.
    NeverTheLast,
    /// It sends to one backend more, whose MAC address nobody has.
    ToNobody,
    /// It takes the hash that the packet bears, which is not of the address, but a number that the sender drew for its socket
    /// (`skb_set_hash_from_sk` in net/ipv4/tcp_output.c), and that is not lost on the way through a veth, a bridge or a router.
    HashOfTheSocket,
}

/// The program for these backends. It is for IPv4 without options, and leaves all else to the node.
fn program(lb: &Node, web: &[Node], fault: Fault) -> netlab::Result<String> {
    let mac = |node: &Node| -> netlab::Result<[u8; 6]> {
        let mac = node.iface("eth0")?.mac.ok_or_else(|| netlab::Error::msg("no MAC address"))?;
        Ok(mac.0)
    };
    let mut backends = web.iter().map(mac).collect::<Result<Vec<_>, _>>()?;
    match fault {
        Fault::NeverTheLast => drop(backends.pop()),
        Fault::ToNobody => backends.push([0x02, 0, 0, 0, 0, 0x99]),
        Fault::None | Fault::HashOfTheSocket => {}
    }
    let hash = if fault == Fault::HashOfTheSocket {
        "ldxw r7, [r6+68]               ; skb->hash"
    } else {
        "ldxw r7, [r2+26]               ; the client's address
         ldxh r8, [r2+34]               ; and port
         lsh r7, 16
         or r7, r8
         mov r8, r7                     ; mixed, so that neighbours are apart (the finalizer of splitmix64)
         rsh r8, 30
         xor r7, r8
         lddw r8, 0xbf58476d1ce4e5b9
         mul r7, r8
         mov r8, r7
         rsh r8, 27
         xor r7, r8
         lddw r8, 0x94d049bb133111eb
         mul r7, r8
         mov r8, r7
         rsh r8, 31
         xor r7, r8"
    };
    let (vip, port) = (u32::from_ne_bytes(VIP.octets()), u16::from_ne_bytes(PORT.to_be_bytes()));
    let mut text = format!(
        "    mov r6, r1
             ldxw r2, [r6+76]           ; skb->data
             ldxw r3, [r6+80]           ; skb->data_end
             mov r4, r2
             add r4, 54                 ; Ethernet, IPv4 and TCP
             jgt r4, r3, leave
             ldxh r4, [r2+12]           ; IPv4
             jne r4, {ipv4}, leave
             ldxb r4, [r2+14]           ; without options
             jne r4, 0x45, leave
             ldxb r4, [r2+23]           ; TCP
             jne r4, 6, leave
             ldxw r4, [r2+30]           ; to the address
             lddw r5, {vip}
             jne r4, r5, leave
             ldxh r4, [r2+36]           ; and port
             jne r4, {port}, leave
             {hash}
             mod r7, {number}
        ",
        ipv4 = 0x0800_u16.to_be(),
        number = backends.len(),
    );
    for (n, mac) in backends.iter().enumerate() {
        write!(text, "jne r7, {n}, not_{n}\n{}ja send\nnot_{n}:\n", store(0, *mac))?;
    }
    write!(
        text,
        "leave:
             mov r0, 0                  ; TC_ACT_OK
             exit
         send:
             {from}
             ldxw r1, [r6+40]           ; skb->ifindex
             mov r2, 0
             call 23                    ; bpf_redirect
             exit
        ",
        from = store(6, mac(lb)?),
    )?;
    Ok(text)
}

/// Writes a MAC address into the packet.
fn store(offset: usize, mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    let (first, last) = (i32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]));
    format!("stw [r2+{offset}], {first}\nsth [r2+{}], {last}\n", offset + 4)
}

/// Backends that serve, and the balancer before them.
pub async fn bench(client: &Node, lb: &Node, web: &[Node], fault: Fault) -> netlab::Result<LbTest> {
    let program = Program::load(&program(lb, web, fault)?);
    netlab::requires("bpf", program, "run the test as root of the machine").attach(lb, "eth0")?;
    for backend in web {
        dsr(backend, VIP)?;
    }
    serve(web, Over::Tcp).await?;
    Ok(LbTest::new([client], [SocketAddr::new(IpAddr::V4(VIP), PORT)]))
}

/// What holds of a choice by the client's address and port.
pub fn by_source_and_port(traffic: &Traffic, web: &[Node]) -> [Verdict; 4] {
    [
        traffic.share_equally(web).counting(Key::SourceAndPort).ignoring_misses().by_chance(FALSE_ALARM),
        traffic.affinity(Key::SourceAndPort).always(),
        traffic.loses(Misses::none()),
        traffic.source(Sees::ClientAndPort),
    ]
}

#[netlab::test(topology = "tests/topologies/beside.topo")]
async fn a_right_one(client: Node, lb: Node, gw: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::None).await?;
    let traffic = test.send(Load::requests(600).from(ports(300))).await?;
    println!("{}", traffic.summary());
    by_source_and_port(&traffic, &web).into_iter().try_for_each(Verdict::holds)?;
    traffic.affinity(Key::Source).absent(3, FALSE_ALARM).holds()?;
    answers_go_past(&test, &lb, &gw).await
}
