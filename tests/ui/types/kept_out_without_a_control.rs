use netlab::prelude::*;

#[netlab::test(topology = "net lan; node a lan; node b lan")]
async fn proves_nothing(lab: Lab, a: Node, b: Node) -> netlab::Result {
    lab.expect().not_reaches(&a, b.tcp(80)).check().await?;
    Ok(())
}

fn main() {}
