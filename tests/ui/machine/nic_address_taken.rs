#[netlab::test(topology = "
    node blue  nic(eth1)=10.1.1.83/24
    node green nic(eth2)=10.1.1.83/24
")]
fn joined() {}

fn main() {}
