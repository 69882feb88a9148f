//! Founding scenario A: two servers listen on the same port behind a virtual switch, each in a namespace of its own,
//! and reach a world outside through the host, which masquerades.
//!
//! By hand this is some thirty commands (`benches/by_hand.sh`), as root, and as many to undo them.

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[netlab::test(topology = "
    net    br1  192.168.1.0/24
    net    wan  203.0.113.0/24
    router host br1=.10 wan=.1  nat(wan from=br1)
    node   ns1  br1=.11
    node   ns2  br1=.12
    node   internet wan=.2  addr=8.8.8.8/32
")]
async fn two_servers(lab: Lab, ns1: Node, ns2: Node, internet: Node) -> netlab::Result {
    println!("{}", lab.plan().draw(100));

    for server in [&ns1, &ns2] {
        let listener = server.tcp_listener("0.0.0.0:8000").await?;
        let greeting = format!("this is {}", server.name());
        server.spawn(async move { listener.accept().await?.0.write_all(greeting.as_bytes()).await });
    }
    for server in [&ns1, &ns2] {
        let mut answer = String::new();
        lab.host().tcp_connect((server.name(), 8000)).await?.read_to_string(&mut answer).await?;
        println!("host -> {}:8000  says `{answer}`", server.addr());
        assert_eq!(answer, format!("this is {}", server.name()));
    }

    let world = internet.udp_socket("8.8.8.8:53").await?;
    let question = ns1.udp_socket("0.0.0.0:0").await?;
    question.send_to(b"who am I?", "8.8.8.8:53").await?;
    let (_, source) = world.recv_from(&mut [0; 16]).await?;
    println!("ns1  -> 8.8.8.8:53     arrives from {}, not from {}", source.ip(), ns1.addr());
    assert_eq!(source.ip(), lab.host().addr_on(&lab.net("wan")?)?);
    Ok(())
}

netlab::main!();
