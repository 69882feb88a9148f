#[netlab::test(topology = "
    node server real
")]
fn joined() {}

fn main() {}
