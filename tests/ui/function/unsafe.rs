#[netlab::test]
unsafe fn not_safe() {}

fn main() {}
