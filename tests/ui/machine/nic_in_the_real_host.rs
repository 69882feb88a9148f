#[netlab::test(topology = "
    node host real nic(eth1)=10.1.1.83/24
")]
fn joined() {}

fn main() {}
