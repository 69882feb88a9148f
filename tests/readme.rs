//! The README's example, run; and whether pages show what runs, and name tests that there are.

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
fn pages_show_what_runs() {
    // This very file, and an example that needs a program, for which this harness has no word.
    let of_the_readme = concat!(include_str!("readme.rs"), include_str!("../examples/haproxy_failover.rs"));
    let pages = [
        ("README.md", include_str!("../README.md"), of_the_readme),
        ("docs/load-balancers.md", include_str!("../docs/load-balancers.md"), include_str!("lb/page.rs")),
    ];
    for (page, text, runs) in pages {
        let blocks: Vec<_> =
            text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{page} has no example");
        for block in blocks {
            assert!(flat(runs).contains(&flat(block)), "{page} has an example that is not run:\n{block}");
        }
    }
}

/// Lines without what they are indented by: pages show parts of functions.
fn flat(text: &str) -> String {
    text.lines().map(|line| line.trim_start().to_owned() + "\n").collect()
}

/// `nftables::nat::in_turn` is a function of `tests/lb/nftables/nat.rs`.
#[test]
fn the_page_on_load_balancers_names_tests_that_there_are() {
    let page = include_str!("../docs/load-balancers.md");
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lb");
    let mut named = 0;
    let is_path = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || "_:0123456789".contains(c));
    for name in page.split('`').skip(1).step_by(2).filter(|name| is_path(name)) {
        let Some((module, function)) = name.rsplit_once("::") else { continue };
        let file = tests.join(module.replace("::", "/")).with_extension("rs");
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(source.contains(&format!("async fn {function}(")), "`{name}` is no test");
        named += 1;
    }
    assert!(named > 20, "{named} tests are named");
}
