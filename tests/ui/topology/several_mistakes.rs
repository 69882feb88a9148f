#[netlab::test(topology = "
    net  lan  192.168.1.0/33
    node client  lam
    nod  server  lan
")]
fn several() {}

fn main() {}
