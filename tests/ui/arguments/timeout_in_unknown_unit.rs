#[netlab::test(timeout = "10 parsecs")]
fn in_parsecs() {}

fn main() {}
