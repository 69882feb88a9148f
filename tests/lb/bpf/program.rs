//! BPF programs from text, and where they see packets: what `tc qdisc add dev DEV clsact` and `tc filter add dev DEV ingress bpf
//! direct-action object-file PROGRAM` do.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use netlab::prelude::*;
use netlab_runtime::sys::bpf::{self, Kind};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::Netlink;

/// A program of type `SCHED_CLS` that the kernel has found safe.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
}

impl Program {
    /// Loads a program: instructions as of [`rbpf::assembler`], a line each, with labels (`name:`) to jump to, and remarks (`; ...`).
    ///
    /// # Errors
    ///
    /// It is refused; says why, if that is the verifier's word. `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` in the machine's user
    /// namespace.
    ///
    /// # Panics
    ///
    /// It cannot be assembled.
    pub fn load(text: &str) -> io::Result<Self> {
        let instructions = rbpf::assembler::assemble(&resolve(text)).unwrap();
        Ok(Self { fd: bpf::load(Kind::SchedCls, &instructions)? })
    }

    /// Has it see, and decide of, each packet that comes to an interface of a node (TC_ACT_*, include/uapi/linux/pkt_cls.h).
    pub fn attach(&self, node: &Node, interface: &str) -> netlab::Result {
        /// `ETH_P_ALL`, at the first priority; see `TC_H_MAKE` in include/uapi/linux/pkt_sched.h.
        const ALL_FIRST: u32 = 1 << 16 | 0x0003_u16.to_be() as u32;
        let netlink = Netlink::open(node, NETLINK_ROUTE)?;
        let index = node.iface(interface)?.index as i32;
        let new = NLM_F_CREATE | NLM_F_EXCL;

        let mut qdisc = TcMessage::with_index(index);
        qdisc.header.handle = TcHandle { major: u16::MAX, minor: 0 };
        qdisc.header.parent = TcHandle::CLSACT;
        qdisc.attributes = vec![TcAttribute::Kind("clsact".to_owned())];
        netlink.request(RouteNetlinkMessage::NewQueueDiscipline(qdisc), new)?;

        let mut filter = TcMessage::with_index(index);
        filter.header.parent = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
        filter.header.info = ALL_FIRST;
        filter.attributes = vec![
            TcAttribute::Kind("bpf".to_owned()),
            TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgFd(self.fd.as_raw_fd() as u32)),
                TcOption::Bpf(TcFilterBpfOption::ProgName("balancer".to_owned())),
                TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
            ]),
        ];
        netlink.request(RouteNetlinkMessage::NewTrafficFilter(filter), new)?;
        Ok(())
    }
}

/// Puts the distances of jumps, in instructions from the next one, in the place of labels.
fn resolve(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(|line| line.split(';').next().unwrap_or("").trim()).collect();
    let mut labels = HashMap::new();
    let mut at = 0;
    let mut placed = Vec::new();
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        if let Some(label) = line.strip_suffix(':') {
            assert!(labels.insert(label, at).is_none(), "the label `{label}` is there twice");
        } else {
            // `lddw` is two instructions long.
            at += if line.starts_with("lddw ") { 2 } else { 1 };
            placed.push((line, at));
        }
    }
    let distance = |line: &str, next: i32| {
        let (jump, label) = line.rsplit_once(' ')?;
        Some(format!("{jump} {:+}\n", labels.get(label)? - next))
    };
    placed.iter().map(|(line, next)| distance(line, *next).unwrap_or_else(|| format!("{line}\n"))).collect()
}
