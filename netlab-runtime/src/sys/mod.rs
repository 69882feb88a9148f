//! What needs the kernel below its netlink interfaces: namespaces, processes, mounts, device requests.
//!
//! Invariant: the only module with `unsafe`.

pub mod ioctl;
pub mod namespace;
