#[netlab::test(topology = "
    net  lan
    node blue  lan(dev=eth1) nic(eth1)=10.1.1.83/24
")]
fn joined() {}

fn main() {}
