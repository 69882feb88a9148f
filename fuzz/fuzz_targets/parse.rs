//! Any text: reading, printing and planning it neither panics nor points outside of it.
//!
//! `cargo +nightly fuzz run parse`. The same property runs over generated texts under `cargo test`
//! (`netlab-topology/tests/properties.rs`).

#![no_main]

#[path = "../../netlab-topology/tests/property/mod.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| property::holds_for(text));
