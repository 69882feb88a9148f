#[netlab::test]
fn conditional(#[cfg(unix)] host: netlab::Node) {
    let _ = host;
}

fn main() {}
