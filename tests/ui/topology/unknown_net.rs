#[netlab::test(topology = "
    net  lan  192.168.1.0/24
    net  wan
    node web[2]  lam=.11
")]
fn balances() {}

fn main() {}
