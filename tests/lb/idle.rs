//! Connections that are silent.

use std::time::Duration;

use netlab::lb::{LbTest, Load, Over};
use netlab::prelude::*;

use crate::proxy::{Choice, Fault, Proxy};
use crate::suite::{failing, serve};

/// How long the proxy keeps a connection that is silent.
const IDLE: Duration = Duration::from_millis(500);

/// Asks, is silent for so long, and asks again, on six connections.
fn silent_for(pause: Duration) -> Load {
    Load::requests(12).keep_connections(6).pause(pause).timeout(Duration::from_secs(1))
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn silent_connections_are_kept_and_closed_as_promised(
    client: Node,
    lb: Node,
    web: [Node; 3],
) -> netlab::Result {
    let expected = [
        (Fault::None, &[][..]),
        (Fault::ClosesEarly, &["idle, kept"]),
        (Fault::NeverCloses, &["idle, closed"]),
        (Fault::HangsWhenIdle, &["idle, closed"]),
    ];
    let mut rows = Vec::new();
    for over in [Over::Tcp, Over::Http] {
        let (web, first_port) = if over == Over::Tcp { (&web[..2], 80) } else { (&web[2..], 90) };
        serve(web, over).await?;
        for (port, (fault, expected)) in (first_port..).zip(expected) {
            let proxy = Proxy::start(&lb, port, web, Choice::RoundRobin, fault).await?;
            proxy.closes_idle_after(IDLE);
            let test = LbTest::new([&client], [([10, 1, 0, 254], port).into()]).over(over);
            // Silences pass side by side.
            let (short, long) = (test.start(silent_for(IDLE / 5))?, test.start(silent_for(IDLE * 3))?);
            rows.push((over, fault, expected, short, long));
        }
    }
    for (over, fault, expected, short, long) in rows {
        let (short, long) = (short.finish().await?, long.finish().await?);
        let verdicts = [short.idle().kept_for(IDLE / 5), long.idle().closed_within(IDLE * 2)];
        println!("{over:?}, {fault:?}\n{}\n{}", verdicts[0], verdicts[1]);
        assert_eq!(failing(verdicts), expected, "{over:?} {fault:?}");
    }
    Ok(())
}
