//! Backends that are clients of their own balancer.

use netlab::lb::{LbTest, Load, Misses, Over};
use netlab::prelude::*;

use crate::proxy::{Choice, Fault, Proxy};
use crate::suite::{FALSE_ALARM, failing, serve};

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn backends_reach_each_other_and_themselves(lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    for (port, (fault, expected)) in (80..).zip([(Fault::None, &[][..]), (Fault::NotItself, &["hairpin"])]) {
        Proxy::start(&lb, port, &web, Choice::RoundRobin, fault).await?;
        let test = LbTest::new(&web, [([10, 2, 0, 254], port).into()]);
        let traffic = test.send(Load::requests(360)).await?;
        let hairpin = traffic.hairpin(&web).by_chance(FALSE_ALARM);
        println!("{hairpin}");
        assert_eq!(failing([hairpin, traffic.loses(Misses::none())]), expected);
    }
    Ok(())
}
