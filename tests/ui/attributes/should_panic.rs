#[netlab::test]
#[should_panic("connection refused")]
fn without_expected() {}

#[netlab::test]
#[should_panic(except = "connection refused")]
fn misspelt() {}

#[netlab::test]
#[should_panic(expected = 3)]
fn number() {}

fn main() {}
