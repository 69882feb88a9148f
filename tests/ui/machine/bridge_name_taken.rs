#[netlab::test(topology = "
    net  eth1  10.1.1.0/24 port=eth1
    node host  real eth1=.51
")]
fn joined() {}

fn main() {}
