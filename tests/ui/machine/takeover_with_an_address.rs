#[netlab::test(topology = "
    net  lan   10.1.1.0/24 port=eth1 takeover
    node host  real lan=.51
")]
fn joined() {}

fn main() {}
