#[netlab::test(flavor = "multi_thread", worker_threads = 0)]
async fn none() {}

#[netlab::test(flavor = "multi_thread", worker_threads = "2")]
async fn text() {}

#[netlab::test(flavor = "multi_thread", worker_threads = -1)]
async fn negative() {}

fn main() {}
