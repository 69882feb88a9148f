// One mistake is one message: the function stays, with its parameters, for those who use it.
use netlab::Lab;

#[netlab::test(timeout = "10")]
fn test(lab: Lab) {
    helper(&lab);
}

fn helper(_lab: &Lab) {}

fn main() {}
