//! BPF programs from text, and where they see packets: what `tc qdisc add dev DEV clsact` and `tc filter add dev DEV ingress bpf
//! direct-action object-file PROGRAM` do.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netlab::prelude::*;
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
        let mut log = vec![0_u8; 1 << 16];
        let load = Load {
            kind: SCHED_CLS,
            instructions: (instructions.len() / 8) as u32,
            program: instructions.as_ptr().addr() as u64,
            license: c"MIT OR Apache-2.0".as_ptr().addr() as u64,
            log_level: 1,
            log_size: log.len() as u32,
            log: log.as_mut_ptr().expose_provenance() as u64,
            kernel_version: 0,
            flags: 0,
        };
        // SAFETY: what `load` points to outlives the call, which takes as much of the union as it is told, and writes no more than
        // `log_size` bytes of `log`.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            let said = String::from_utf8_lossy(&log[..end]);
            return Err(io::Error::new(error.kind(), format!("{error}\n{said}").trim_end().to_owned()));
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) } })
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

/// `BPF_PROG_LOAD` and `BPF_PROG_TYPE_SCHED_CLS`, include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const SCHED_CLS: u32 = 3;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
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
