//! The example of `docs/load-balancers.md`, run.

use netlab::lb::{LbTest, Load, Misses, Over};
use netlab::prelude::*;

const CONFIG: &str = "
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s

frontend web
    bind {node.addr}:80
    default_backend servers

backend servers
    balance roundrobin
    server {web[*].name} {web[*].addr}:80
";

#[netlab::test(topology = "
    net  front  203.0.113.0/24
    net  back   10.0.0.0/24
    node client front=.10
    node lb     front=.1 back=.1
    node web[3] back=.11            # web1 is .11, web2 .12, web3 .13
")]
async fn every_server_gets_its_share(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    // The servers answer who they are.
    for backend in &web {
        backend.serve(servers::identity(80)).await?;
    }
    // Your balancer: any program, as it is.
    netlab::requires_program("haproxy");
    let config = lb.file("haproxy.cfg", CONFIG)?;
    lb.command("haproxy").args(["-db", "-f"]).arg(config).ready_when(ready::port(80)).start().await?;

    // A load, and what you promise of it.
    let test = LbTest::new([&client], [(lb.addr(), 80).into()]).over(Over::Http);
    let traffic = test.send(Load::requests(300).concurrency(1)).await?;
    println!("{}", traffic.summary());
    traffic.share_equally(&web).exactly().holds()?;
    traffic.loses(Misses::none()).holds()?;
    Ok(())
}
