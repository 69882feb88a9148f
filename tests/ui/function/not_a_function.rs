#[netlab::test]
struct Lonely;

#[netlab::test]
mod tests {
    pub fn inner() {}
}

fn main() {
    // Both are still there, and add no messages of their own.
    let _ = Lonely;
    tests::inner();
}
