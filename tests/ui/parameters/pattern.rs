use netlab::prelude::*;

#[netlab::test(topology = "
    net  lan
    net  up-link
    node client  lan up-link
    node web[2]  lan
    link client web1
")]
fn taken_apart([a, b]: [Node; 2]) {
    drop((a, b));
}

#[netlab::test]
fn without_name(_: Node) {}

#[netlab::test]
fn by_ref(ref host: Node) {
    let _ = host;
}

fn main() {}
