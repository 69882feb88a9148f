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
    let mut log = vec![0_u8; 1 << 16];
    let load = Load {
        kind: kind as u32,
        instructions: (instructions.len() / 8) as u32,
        program: instructions.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
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
        let said = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
        if said.is_empty() {
            return Err(error);
        }
        return Err(io::Error::new(error.kind(), format!("{error}\n{}", said.trim_end())));
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
