#[netlab::test(timeout "10s")]
fn no_equals_sign() {}

#[netlab::test(timeout = )]
fn no_value() {}

fn main() {}
