#[netlab::test(topology = "
    net  lan  10.1.1.0/24 port=eth1 dev=eth0
")]
fn joined() {}

fn main() {}
