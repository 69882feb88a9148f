fn number() -> u32 {
    1
}

fn of_a_size(nodes: usize) -> netlab::Topology {
    let _ = nodes;
    netlab::Topology::parse("", "nothing").unwrap()
}

#[netlab::test(topology = number)]
fn a_number() {}

#[netlab::test(topology = of_a_size)]
fn wants_an_argument() {}

fn main() {}
