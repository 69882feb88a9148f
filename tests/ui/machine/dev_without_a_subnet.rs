#[netlab::test(topology = "
    net  lan   dev=eth0
    node blue  lan=10.1.1.100
")]
fn joined() {}

fn main() {}
