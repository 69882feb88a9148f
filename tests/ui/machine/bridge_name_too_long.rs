#[netlab::test(topology = "
    net  a-net-with-a-long-name
    node host  real a-net-with-a-long-name
")]
fn joined() {}

fn main() {}
