#[netlab::test]
#[test]
fn with_the_standard_one() {}

#[netlab::test]
#[netlab::test]
fn with_itself() {}

fn main() {}
