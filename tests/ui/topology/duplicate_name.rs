#[netlab::test(topology = "net lan; node a lan; node a lan")]
fn one_line() {}

fn main() {}
