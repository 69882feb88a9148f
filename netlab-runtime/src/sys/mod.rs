//! What needs `unsafe`, and nothing else: processes, signals, descriptors, namespaces.
//!
//! Invariant: `unsafe` appears in no other module of this workspace.

pub mod environment;
pub mod fdpass;
mod init;
pub mod process;
pub mod signal;
