#[netlab::test(timeout = 10)]
fn number() {}

#[netlab::test(timeout = std::time::Duration::from_secs(10))]
fn expression() {}

fn main() {}
