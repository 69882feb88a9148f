#[netlab::test(flavor = "multi_threaded")]
async fn text() {}

#[netlab::test(flavor = multi_thread)]
async fn word() {}

fn main() {}
