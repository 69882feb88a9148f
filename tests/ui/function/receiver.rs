struct Server;

impl Server {
    #[netlab::test]
    fn by_reference(&self) {
        let _ = self;
    }
}

fn main() {}
