#[netlab::test(topology = "
    net  lan   10.1.1.0/24
    node green lan
    node blue  nic(eth1)=10.1.1.83/24
")]
fn joined() {}

fn main() {}
