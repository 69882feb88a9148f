#[netlab::test(timeout = "10")]
fn without_unit() {}

fn main() {}
