#[netlab::test]
fn of_the_empty_lab(_lan: netlab::Net, _client: netlab::Node) {}

fn main() {}
