use netlab::prelude::*;

#[netlab::test(topology = "
    net  lan
    net  up-link
    node client  lan up-link
    node web[2]  lan
    link client web1
")]
fn test(_client: [Node; 1], _web1: Vec<Node>) {}

fn main() {}
