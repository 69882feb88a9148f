//! The machine's own network, changed and undone for real: in a scratch machine.

mod firewall;
mod nics;
mod objects;
mod runs;
pub(super) mod scratch;
