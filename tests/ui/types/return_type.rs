#[netlab::test]
fn number() -> u32 {
    1
}

#[netlab::test]
async fn number_later() -> u32 {
    1
}

fn main() {}
