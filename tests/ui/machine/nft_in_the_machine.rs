#[netlab::test(topology = "
    net    lan
    router host real lan firewall=nft
")]
fn joined() {}

fn main() {}
