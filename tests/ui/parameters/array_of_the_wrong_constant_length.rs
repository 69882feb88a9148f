use netlab::prelude::*;

const SERVERS: usize = 3;

#[netlab::test(topology = "
    net  lan
    net  up-link
    node client  lan up-link
    node web[2]  lan
    link client web1
")]
fn test(_web: [Node; SERVERS]) {}

fn main() {}
