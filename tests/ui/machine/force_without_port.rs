#[netlab::test(topology = "
    net  lan  dev=eth0 force
")]
fn joined() {}

fn main() {}
