#[netlab::test("net lan")]
fn text() {}

#[netlab::test(multi_thread)]
fn word() {}

#[netlab::test(timeout("10s"))]
fn brackets() {}

fn main() {}
