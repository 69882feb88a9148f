//! The `#[netlab::test]` attribute. Use it through the `netlab` crate, which documents it.

#![forbid(unsafe_code)]
