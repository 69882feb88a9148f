//! Nodes of isolated labs whose rules are made with `iptables`: what they do is what they do with nf_tables.

use netlab::prelude::*;

use crate::rows;

#[netlab::test(topology = "
    net    linux-bridge  192.168.24.0/24
    net    outside       203.0.113.0/24
    router host   linux-bridge=.1 outside=.1  nat(outside from=linux-bridge)  dnat(8080/tcp -> red:80)  firewall=iptables
    node   red    linux-bridge=.10
    node   client outside=.2
")]
async fn nat_and_a_port_forward_in_the_host(lab: Lab, red: Node, client: Node) -> netlab::Result {
    let rules = rules_of(&lab.host())?;
    assert!(rules.contains("-A NETLAB-POSTROUTING -s 192.168.24.0/24 -o outside -j MASQUERADE"), "{rules}");
    rows::b4_the_gateway_carries_outbound_traffic_through_nat(red.clone(), client.clone()).await?;
    rows::b5_the_port_forward_reaches_red_which_sees_the_client(red, client).await
}

#[netlab::test(topology = "
    net    home  192.168.24.0/24 fd00:24::/64
    net    outside 203.0.113.0/24 fd00:113::/64
    router gate   home=.1,::1 outside=.1,::1  nat(outside from=home)  firewall=iptables
    node   red    home=.10,::10
    node   client outside=.2,::2
")]
async fn nat_of_both_families_in_a_node(gate: Node, red: Node, client: Node) -> netlab::Result {
    assert!(rules_of(&gate)?.contains("NETLAB-POSTROUTING"));
    rows::b4_the_gateway_carries_outbound_traffic_through_nat(red.clone(), client.clone()).await?;
    let server = client.udp_socket("[fd00:113::2]:53").await?;
    let probe = red.udp_socket("[::]:0").await?;
    probe.send_to(b"who?", "[fd00:113::2]:53").await?;
    let (_, source) = server.recv_from(&mut [0; 4]).await?;
    assert_eq!(source.ip(), "fd00:113::1".parse::<std::net::IpAddr>()?);
    Ok(())
}

/// The rules of a node, as its owner would look at them.
fn rules_of(node: &Node) -> netlab::Result<String> {
    node.enter(|| crate::scratch::rules("iptables", "nat"))
}
