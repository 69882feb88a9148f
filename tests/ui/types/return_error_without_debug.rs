struct Mystery;

#[netlab::test]
fn mysterious() -> Result<(), Mystery> {
    Err(Mystery)
}

fn main() {}
