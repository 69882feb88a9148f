//! One test for each fault: the check that is for it fails, the others hold.

use std::time::Duration;

use netlab::lb::Load;
use netlab::prelude::*;

use super::balancer::{Fault, bench, by_source_and_port};
use crate::direct::ports;
use crate::suite::failing;

#[netlab::test(topology = "tests/topologies/beside.topo")]
async fn a_backend_that_is_never_chosen(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::NeverTheLast).await?;
    let traffic = test.send(Load::requests(600).from(ports(300))).await?;
    assert_eq!(failing(by_source_and_port(&traffic, &web)), ["share"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/beside.topo")]
async fn a_mac_address_that_nobody_has(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::ToNobody).await?;
    let load = Load::requests(80).from(ports(40)).concurrency(40).timeout(Duration::from_millis(500));
    let traffic = test.send(load).await?;
    assert_eq!(failing(by_source_and_port(&traffic, &web)), ["failover"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/beside.topo")]
async fn a_hash_that_is_no_function_of_the_address(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let test = bench(&client, &lb, &web, Fault::HashOfTheSocket).await?;
    let traffic = test.send(Load::requests(600).from(ports(300))).await?;
    // A sender that misses an answer draws again (`sk_rethink_txhash`), so that now and then a connection may be lost, too.
    let [share, affinity, _loses, source] = by_source_and_port(&traffic, &web);
    assert!(!affinity.is_ok(), "{affinity}");
    share.holds()?;
    source.holds()?;
    Ok(())
}
