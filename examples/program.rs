//! A program under test, started in a node: configured by a file that knows the lab's addresses, ready before the first request
//! without a probe, logged line by line, and ended in order.
//!
//! The program is this binary itself, run again as a server, so that nothing has to be installed. Of your own crate it would be
//! `web.command(env!("CARGO_BIN_EXE_my-server"))`.

use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use netlab::prelude::*;
use tokio::io::AsyncReadExt;

#[netlab::test(topology = "
    net  lan  192.168.1.0/24
    node client  lan=.10
    node web[2]  lan=.11            # web1 is .11, web2 .12
")]
async fn programs(client: Node, web: [Node; 2]) -> netlab::Result {
    let mut servers = Vec::new();
    for node in &web {
        let config = node.file("server.conf", "{node.addr}:80 this is {node.name}, for {client.addr}")?;
        let server = node
            .command("/proc/self/exe")
            .args(["serve".as_ref(), config.as_os_str()])
            .name("server")
            .ready_when(ready::port(80))
            .start()
            .await?;
        servers.push(server);
    }
    for node in &web {
        let mut answer = String::new();
        client.tcp_connect((node, 80)).await?.read_to_string(&mut answer).await?;
        assert_eq!(answer, format!("this is {}, for 192.168.1.10", node.name()));
    }
    for server in servers {
        assert!(server.log()?.ends_with("served 192.168.1.10\n"));
        let status = server.terminate(Duration::from_secs(5)).await?;
        println!("{} of {} ended: {status}", server.name(), server.node().name());
    }
    Ok(())
}

/// The program: `serve FILE`, where the file has an address and what to say there.
fn serve() -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, serve, file] = &arguments[..] else { return None };
    if serve != "serve" {
        return None;
    }
    let config = std::fs::read_to_string(file).expect("the configuration can be read");
    let (addr, text) = config.split_once(' ').expect("an address, a blank, a text");
    let listener = TcpListener::bind(addr).expect("the address is this node's");
    println!("listening on {addr}");
    loop {
        let (mut stream, peer) = listener.accept().expect("the listener is open");
        println!("served {}", peer.ip());
        stream.write_all(text.as_bytes()).expect("the client listens");
    }
}

netlab::main!(serve);
