#[netlab::test(topology = "
    node server[2] nic(eth1)=10.1.1.83/24
")]
fn joined() {}

fn main() {}
