#[netlab::test(topology = "net lan 192.0.2.0/24; node a lan=198.51.100.1")]
fn outside() {}

fn main() {}
