#[netlab::test(timeuot = "10s")]
fn a_slip() {}

#[netlab::test(retries = 3)]
fn nothing_like_it() {}

fn main() {}
