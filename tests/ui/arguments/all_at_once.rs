// Mistakes in different places are told together.
#[netlab::test(timeout = "10", serial = 1, colour = "red")]
const fn many<T>(_: netlab::Node) {}

fn main() {}
