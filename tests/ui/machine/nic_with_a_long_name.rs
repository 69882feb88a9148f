#[netlab::test(topology = "
    node blue nic(an-interface-with-a-long-name)=10.1.1.83/24
")]
fn joined() {}

fn main() {}
