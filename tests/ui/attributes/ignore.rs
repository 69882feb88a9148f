#[netlab::test]
#[ignore("too slow")]
fn in_brackets() {}

#[netlab::test]
#[ignore = 3]
fn number() {}

#[netlab::test]
#[ignore]
#[ignore = "too slow"]
fn twice() {}

fn main() {}
