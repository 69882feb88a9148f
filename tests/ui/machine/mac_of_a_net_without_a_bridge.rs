#[netlab::test(topology = "
    net  lan   10.1.1.0/24 dev=eth0 mac=02:00:00:00:00:01
")]
fn joined() {}

fn main() {}
