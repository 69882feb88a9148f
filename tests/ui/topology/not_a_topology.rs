#[netlab::test(topology = 3)]
fn number() {}

#[netlab::test(topology = ["net lan", "node client lan"])]
fn list() {}

fn main() {}
