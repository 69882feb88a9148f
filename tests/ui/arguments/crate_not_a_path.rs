#[netlab::test(crate = "netlab")]
fn text() {}

fn main() {}
