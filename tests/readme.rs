//! The README's example, run.

use netlab::prelude::*;

#[netlab::test(topology = "
    net  lan  192.168.1.0/24
    node client  lan=.10
    node web[2]  lan=.11        # web1 is .11, web2 is .12
")]
async fn each_server_answers_for_itself(client: Node, web: [Node; 2]) -> netlab::Result {
    for w in &web {
        w.serve(servers::identity(80)).await?; // returns once it listens
    }
    for w in &web {
        let answer = client.get(format!("http://{}/", w.name())).await?; // names resolve in every node
        assert_eq!(answer.seen()?.node, w.name());
    }
    Ok(())
}

#[test]
fn the_readme_shows_what_runs_here() {
    let readme = include_str!("../README.md");
    // This very file, and an example that needs a program, for which this harness has no word.
    let here = [include_str!("readme.rs"), include_str!("../examples/haproxy_failover.rs")].map(flat);
    let blocks: Vec<_> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "the README has no example");
    for block in blocks {
        let is_run = here.iter().any(|file| file.contains(&flat(block)));
        assert!(is_run, "the README has an example that is not run here:\n{block}");
    }
}

/// Lines without what they are indented by: the README shows parts of functions.
fn flat(text: &str) -> String {
    text.lines().map(|line| line.trim_start().to_owned() + "\n").collect()
}
