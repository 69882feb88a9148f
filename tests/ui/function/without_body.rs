trait Tests {
    #[netlab::test]
    fn without_body();
}

fn main() {}
