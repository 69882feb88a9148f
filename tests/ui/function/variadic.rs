#[netlab::test]
fn any_number(_: ...) {}

fn main() {}
