#[netlab::test(topology = "
    net  lan  takeover
    node host real lan
")]
fn joined() {}

fn main() {}
