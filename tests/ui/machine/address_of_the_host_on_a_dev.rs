#[netlab::test(topology = "
    net  lan   10.1.1.0/24 dev=eth0
    node host  real lan=.51
")]
fn joined() {}

fn main() {}
