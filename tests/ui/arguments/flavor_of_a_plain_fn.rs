#[netlab::test(flavor = "multi_thread", worker_threads = 2)]
fn plain() {}

fn main() {}
