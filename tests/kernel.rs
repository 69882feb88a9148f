//! What a lab is made of: built, used and read back through real sockets and the kernel's own tables.

#[path = "kernel/build.rs"]
mod build;
#[path = "kernel/handles.rs"]
mod handles;
#[path = "kernel/traffic.rs"]
mod traffic;
