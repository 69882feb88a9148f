#[netlab::test(topology = "
    net  lan   10.1.1.0/24 port=eth1 takeover
    node blue  lan=.100
")]
fn joined() {}

fn main() {}
