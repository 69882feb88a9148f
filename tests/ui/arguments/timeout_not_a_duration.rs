#[netlab::test(timeout = "soon")]
fn word() {}

#[netlab::test(timeout = "")]
fn empty() {}

#[netlab::test(timeout = "1.5s")]
fn fraction() {}

#[netlab::test(timeout = "0s")]
fn no_time() {}

fn main() {}
