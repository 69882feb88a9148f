//! What needs `unsafe`, and what changes namespaces: processes, signals, descriptors, namespaces, device requests.
//!
//! Invariant: `unsafe` appears in no other module of this workspace.

pub mod bpf;
pub mod child;
pub mod environment;
pub mod fdpass;
pub mod idmap;
mod init;
pub mod interrupt;
pub mod ioctl;
pub mod namespace;
pub mod pidfd;
pub mod process;
pub mod readiness;
pub mod signal;
pub mod sockopt;
pub mod tun;
pub mod users;
