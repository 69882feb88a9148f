//! `timeout client` and `timeout server`: how long a connection that is silent is kept.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Over};
use netlab::prelude::*;

use super::{Config, HaProxy};
use crate::suite::{failing, serve};

/// What is promised: connections live through silences of a fifth of it, and are gone after twice of it.
const IDLE: Duration = Duration::from_millis(500);

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn silent_connections_are_kept_and_closed_as_promised(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    let kinds = [
        ("500ms", &[][..]),
        // Shorter than promised, and longer.
        ("20ms", &["idle, kept"]),
        ("30s", &["idle, closed"]),
    ];
    let mut loads = Vec::new();
    for (over, first_port, web) in [(Over::Tcp, 80, &web[..1]), (Over::Http, 90, &web[1..2])] {
        serve(web, over).await?;
        for (port, (idle, fails)) in (first_port..).zip(kinds) {
            let server = format!("server {0} {{{0}.addr}}:80", web[0].name());
            let config = Config::over(over).port(port).idle(idle).server_lines(&server);
            HaProxy::start(&lb, &config).await?;
            let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]).over(over);
            // Silences pass side by side.
            let (short, long) = (test.start(silent_for(IDLE / 5))?, test.start(silent_for(IDLE * 3))?);
            loads.push((over, idle, fails, short, long));
        }
    }
    for (over, idle, fails, short, long) in loads {
        let (short, long) = (short.finish().await?, long.finish().await?);
        let verdicts = [short.idle().kept_for(IDLE / 5), long.idle().closed_within(IDLE * 2)];
        println!("{over:?}, {idle}\n{}\n{}", verdicts[0], verdicts[1]);
        assert_eq!(failing(verdicts), fails, "{over:?} {idle}");
    }
    Ok(())
}

/// Asks, is silent for so long, and asks again, on three connections.
fn silent_for(pause: Duration) -> Load {
    Load::requests(6).keep_connections(3).pause(pause)
}
