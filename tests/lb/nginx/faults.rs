//! Faults of a configuration: the check that is for it fails, the others hold.

use netlab::lb::{Key, LbTest, Load, Misses, Over, Sees, Verdict};
use netlab::prelude::*;

use super::{Config, Nginx};
use crate::suite::{FALSE_ALARM, failing, sources, vips};

/// Sends through a configuration while `web3` refuses, and judges what was promised: every request is answered, the others share
/// them, nobody is kept.
async fn promised(client: &Node, lb: &Node, web: &[Node], config: &Config) -> netlab::Result<[Verdict; 4]> {
    let mut serving = Vec::new();
    for backend in web {
        serving.push(backend.serve(servers::identity(80)).await?);
    }
    Nginx::start(lb, Over::Http, config).await?;
    serving[2].refuse();
    let test = LbTest::new([client], [vips()[0]]).over(Over::Http);
    let traffic = test.send(Load::requests(720).from(sources(12))).await?;
    let verdicts = [
        traffic.share_equally(&web[..2]).ignoring_misses().by_chance(FALSE_ALARM),
        traffic.affinity(Key::Source).absent(2, FALSE_ALARM),
        traffic.loses(Misses::none()),
        traffic.source(Sees::Balancer([10, 2, 0, 254].into())),
    ];
    for verdict in &verdicts {
        println!("{verdict}");
    }
    Ok(verdicts)
}

/// A server that always counts as well, so that each of its turns shows what becomes of a refusal.
fn never_left_alone(web: &[Node]) -> Config {
    Config::over(Over::Http).servers(web, "max_fails=0")
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn none(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let verdicts = promised(&client, &lb, &web, &never_left_alone(&web)).await?;
    assert_eq!(failing(verdicts), [""; 0]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn the_next_server_is_not_asked(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let config = never_left_alone(&web).with("proxy_next_upstream off;");
    let verdicts = promised(&client, &lb, &web, &config).await?;
    assert_eq!(failing(verdicts), ["failover"]);
    Ok(())
}
