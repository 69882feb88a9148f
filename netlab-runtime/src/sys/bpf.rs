//! eBPF programs, loaded into the kernel.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// `BPF_PROG_LOAD`, include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;

/// What a program is for: `BPF_PROG_TYPE_*`, include/uapi/linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// What a socket takes.
    SocketFilter = 1,
    /// What becomes of a packet at an interface, by a filter or as an action of `tc`.
    SchedCls = 3,
}

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

/// Loads a program: its instructions as bytes, eight each.
///
/// # Errors
///
/// `ENOSYS` without eBPF; `EPERM` without `CAP_BPF` where ordinary users may not, and for most kinds without `CAP_NET_ADMIN` as well; or
/// the verifier refuses it, and says why.
pub fn load(kind: Kind, instructions: &[u8]) -> io::Result<OwnedFd> {
    // What the verifier says is asked for only when it refuses: before Linux 6.4 a log without room for it all is an error by itself.
    try_load(kind, instructions, &mut []).or_else(|error| {
        let mut log = vec![0_u8; 1 << 16];
        try_load(kind, instructions, &mut log).map_err(|_same| {
            let said = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
            match said.trim_end() {
                "" => error,
                said => io::Error::new(error.kind(), format!("{error}\n{said}")),
            }
        })
    })
}

fn try_load(kind: Kind, instructions: &[u8], log: &mut [u8]) -> io::Result<OwnedFd> {
    let load = Load {
        kind: kind as u32,
        instructions: (instructions.len() / 8) as u32,
        program: instructions.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        // A log of no size has to be nowhere (`bpf_verifier_log_attr_valid`).
        log: if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 },
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: what `load` points to outlives the call, which takes as much of the union as it is told, and writes no more than
    // `log_size` bytes of `log`.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Loads a program that does nothing, which goes at once.
///
/// # Errors
///
/// As [`load`].
pub fn load_nothing() -> io::Result<()> {
    // `r0 = 0; exit`: BPF_ALU64 | BPF_MOV | BPF_K, BPF_JMP | BPF_EXIT.
    let program = [0xb7, 0x95].map(u64::to_le_bytes).concat();
    load(Kind::SocketFilter, &program).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_verifier_says_is_in_the_error() {
        // `exit` without anything in r0; and the smallest that is right.
        match (load_nothing(), load(Kind::SocketFilter, &0x95_u64.to_le_bytes())) {
            (Ok(()), Err(error)) => assert!(error.to_string().contains("R0 !read_ok"), "{error}"),
            // Ordinary users may load none, and the kernel says no more.
            (Err(nothing), Err(error)) => assert_eq!(nothing.kind(), error.kind()),
            (_, Ok(_)) => panic!("the verifier lets r0 be read before it is written"),
        }
    }
}
