#[netlab::test(topology = "tests/labs/nowhere.topo")]
fn nowhere() {}

fn main() {}
