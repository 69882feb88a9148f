#[netlab::test(topology = "/etc/edge.topo")]
fn absolute() {}

fn main() {}
