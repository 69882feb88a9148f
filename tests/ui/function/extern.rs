#[netlab::test]
extern "C" fn of_c() {}

fn main() {}
