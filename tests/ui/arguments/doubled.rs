#[netlab::test(timeout = "10s", serial = "one", timeout = "20s")]
fn doubled() {}

fn main() {}
