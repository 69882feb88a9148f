#[netlab::test(timeout = "soon")]
fn word() {}

#[netlab::test(timeout = "")]
fn empty() {}

#[netlab::test(timeout = "1m30s")]
fn two_units() {}

#[netlab::test(timeout = "0s")]
fn no_time() {}

fn main() {}
