#[netlab::test(topology = "
    net  lan   10.1.1.0/24 dev=eth0
    node blue  lan
")]
fn joined() {}

fn main() {}
