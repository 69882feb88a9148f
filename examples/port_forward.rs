//! Founding scenario B: red and green on a bridge behind a gateway, blue unplugged, and a port of the gateway that
//! leads to red. A client outside connects to the gateway and is served by red.

use std::io::ErrorKind;

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[netlab::test(topology = "
    net    linux-bridge  192.168.24.0/24
    net    outside       203.0.113.0/24
    router host   linux-bridge=.1 outside=.1  nat(outside from=linux-bridge)  dnat(8080/tcp -> red:80)
    node   red    linux-bridge=.10
    node   green  linux-bridge=.11
    node   blue
    node   client outside=.2
")]
async fn port_forward(lab: Lab, red: Node, green: Node, blue: Node, client: Node) -> netlab::Result {
    println!("{}", lab.plan().draw(100));

    let listener = red.tcp_listener("0.0.0.0:80").await?;
    let server = red.spawn(async move {
        let (mut stream, source) = listener.accept().await?;
        stream.write_all(b"red").await?;
        std::io::Result::Ok(source)
    });
    let mut answer = String::new();
    client.tcp_connect("203.0.113.1:8080").await?.read_to_string(&mut answer).await?;
    let source = server.await??;
    println!("client -> 203.0.113.1:8080  answered by {answer}, which saw {}", source.ip());
    assert_eq!((answer.as_str(), source.ip()), ("red", client.addr()));

    let rtt = red.ping(green.addr()).await?.rtt;
    println!("red    -> green             {rtt:?} there and back");
    for entry in lab.net("linux-bridge")?.fdb()?.iter().filter(|entry| entry.learned) {
        println!("linux-bridge has learned    {entry}");
    }

    let refused = blue.tcp_connect((red.addr(), 80)).await.expect_err("blue is unplugged");
    println!("blue   -> red               {refused}");
    assert_eq!(refused.kind(), ErrorKind::NetworkUnreachable);
    Ok(())
}

netlab::main!();
