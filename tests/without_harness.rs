//! Where nothing runs the tests, as in a library that is not built for testing, they are not unused.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, nonstandard_style, unused_qualifications, unreachable_pub)]

use netlab::prelude::*;

#[netlab::test]
fn plain(lab: Lab) {
    helper(&lab);
}

#[netlab::test(topology = "net lan; node client lan")]
#[should_panic]
async fn asynchronous(client: Node) -> netlab::Result {
    drop(client);
    Ok(())
}

#[netlab::test(topology = computed)]
#[ignore]
fn from_a_function(_lab: Lab) {}

fn helper(_lab: &Lab) {}

fn computed() -> Topology {
    unreachable!()
}

fn main() {}
