//! The README's example, run.

use netlab::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[netlab::test(topology = "
    net  lan  192.168.1.0/24
    node client  lan=.10
    node web[2]  lan=.11        # web1 is .11, web2 is .12
")]
async fn each_server_answers_for_itself(client: Node, web: [Node; 2]) -> netlab::Result {
    for w in web {
        let (name, listener) = (w.name().to_owned(), w.tcp_listener("0.0.0.0:80").await?);
        w.spawn(async move { listener.accept().await?.0.write_all(name.as_bytes()).await });
    }
    for name in ["web1", "web2"] {
        let mut answer = String::new();
        client.tcp_connect((name, 80)).await?.read_to_string(&mut answer).await?;
        assert_eq!(answer, name);
    }
    Ok(())
}

#[test]
fn the_readme_shows_what_runs_here() {
    let (readme, here) = (include_str!("../README.md"), include_str!("readme.rs"));
    let blocks: Vec<_> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "the README has no example");
    for block in blocks {
        assert!(here.contains(block), "the README has an example that is not run here:\n{block}");
    }
}
