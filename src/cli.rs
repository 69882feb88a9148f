//! What `cargo netlab` shows. Nothing here is stable.

pub use netlab_runtime::{alive, doctor, machine};
