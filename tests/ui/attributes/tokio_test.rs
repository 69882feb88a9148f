#[netlab::test]
#[tokio::test]
async fn below() {}

#[tokio::test(flavor = "current_thread")]
#[netlab::test]
async fn above() {}

fn main() {}
