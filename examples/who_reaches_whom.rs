//! A router with NAT between an office and the world: who reaches whom, as whom, in packets of which size. All of it is
//! expected at once, checked by packets that are sent, and shown as a table where it does not hold.

use netlab::prelude::*;

#[netlab::test(topology = "
    net    office  192.168.1.0/24
    net    world   203.0.113.0/24  mtu=1400
    node   desk    office=.10
    node   web     office=.80
    node   client  world=.9    via=none
    router gate    office=.1  world=.1  nat(world)  dnat(443/tcp -> web:8443)
")]
async fn who_reaches_whom(lab: Lab, desk: Node, web: Node, client: Node, gate: Node) -> netlab::Result {
    println!("{}\n\n{}", lab.plan().draw(100), lab.reachability().await?);

    let outside = gate.addr_on(&lab.net("world")?)?;
    lab.expect()
        .reaches(&desk, web.tcp(8443))
        .sees_source(&desk, client.udp(53), outside)
        .sees_source(&client, web.tcp(8443).behind((outside, 443)), client.addr())
        .not_reaches(&client, web.tcp(8443))
        .while_reached_by(&desk)
        .mtu(&desk, &client, 1400)
        .loses(&desk, &client, 0.0..=0.0, 100)
        .check()
        .await?;
    Ok(())
}

netlab::main!();
