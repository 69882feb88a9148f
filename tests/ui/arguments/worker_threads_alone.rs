#[netlab::test(worker_threads = 2)]
async fn alone() {}

#[netlab::test(flavor = "current_thread", worker_threads = 2)]
async fn with_the_wrong_flavor() {}

fn main() {}
