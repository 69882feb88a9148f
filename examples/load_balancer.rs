//! A small round-robin TCP proxy under test: a client in one network, three backends in another, the proxy between.
//! Each backend says who it is; the test counts who answered, and draws it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use netlab::prelude::*;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;

const REQUESTS: usize = 30;

#[netlab::test(topology = "
    net  front  203.0.113.0/24
    net  back   10.0.0.0/24
    node client front=.10
    node lb     front=.1 back=.1
    node web[3] back=.11            # web1 is .11, web2 .12, web3 .13
")]
async fn load_balancer(lab: Lab, client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    println!("{}", lab.plan().draw(100));

    let mut backends = Vec::new();
    for backend in &web {
        backend.serve(servers::identity(80)).await?;
        backends.push(SocketAddr::new(backend.addr(), 80));
    }
    let listener = lb.tcp_listener("203.0.113.1:80").await?;
    lb.spawn(round_robin(listener, backends));

    let mut share = BTreeMap::<String, usize>::new();
    for _ in 0..REQUESTS {
        let answered = client.get("http://lb/").await?.seen()?;
        *share.entry(answered.node).or_default() += 1;
    }

    println!("{REQUESTS} requests from client to lb:80 were answered by");
    for (backend, count) in &share {
        println!(
            "  {backend}  {:<30}  {count:>2}  {:>3.0} %",
            "█".repeat(*count),
            *count as f64 * 100.0 / REQUESTS as f64
        );
    }
    let expected = ["web1", "web2", "web3"].map(|name| (name.to_owned(), REQUESTS / 3));
    assert_eq!(share, BTreeMap::from(expected), "round robin gives every backend the same share");
    Ok(())
}

/// The balancer under test: every connection goes to the next backend.
async fn round_robin(listener: TcpListener, backends: Vec<SocketAddr>) -> io::Result<()> {
    for backend in backends.iter().cycle() {
        let (mut client, _) = listener.accept().await?;
        let mut server = tokio::net::TcpStream::connect(backend).await?;
        tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
    }
    Ok(())
}

netlab::main!();
