#[netlab::test(topology = "
    net  lan   10.1.1.0/24 port=eth1
    node blue  nic(eth1)=10.2.0.83/24
")]
fn joined() {}

fn main() {}
