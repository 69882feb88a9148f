#[netlab::test(topology = include_str!("lab.topo"))]
fn included() {}

fn main() {}
