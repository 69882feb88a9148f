#[netlab::test]
const fn constant() {}

fn main() {}
