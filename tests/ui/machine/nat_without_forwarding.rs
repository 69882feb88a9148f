#[netlab::test(topology = "
    net  lan
    node host real lan nat(lan)
")]
fn joined() {}

fn main() {}
