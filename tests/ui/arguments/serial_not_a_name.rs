#[netlab::test(serial = true)]
fn switch() {}

#[netlab::test(serial = "")]
fn empty() {}

fn main() {}
