#[netlab::test(topology = nobody_wrote_it)]
fn nobody() {}

fn main() {}
