#[netlab::test]
fn takes_text(host: String) {
    drop(host);
}

#[netlab::test]
fn by_reference(host: &netlab::Node) {
    let _ = host;
}

fn main() {}
