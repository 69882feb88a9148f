#[netlab::test(topology = "
    node blue nic(eth1)=10.1.1.83
")]
fn joined() {}

fn main() {}
