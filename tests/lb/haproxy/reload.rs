//! A new configuration under load: the master has a new process take the listening sockets over, and the old one finish.

use std::time::Duration;

use netlab::Process;
use netlab::lb::{Key, LbTest, Load, Misses, Over};
use netlab::prelude::*;

use super::admin::Admin;
use super::{Config, HaProxy};
use crate::suite::{FALSE_ALARM, KEPT, answered_by, failing, kept_and_fresh, serve, vips};

/// HAProxy as a master with workers (`-W`).
struct Master {
    node: Node,
    process: Process,
    /// Commands to the master itself.
    master: Admin,
    /// Commands to the worker that serves.
    worker: Admin,
}

impl Master {
    async fn start(on: &Node, config: &Config) -> netlab::Result<Self> {
        netlab::requires_program("haproxy");
        let file = config.write(on)?;
        let socket = on.dir()?.join("master.sock");
        let process = on
            .command("haproxy")
            .args(["-W", "-db", "-S"])
            .arg(&socket)
            .arg("-f")
            .arg(&file)
            .ready_when(ready::all([ready::port(80), ready::file(&socket)]))
            .start()
            .await?;
        Ok(Self {
            node: on.clone(),
            process,
            master: Admin(socket),
            worker: Admin(file.with_extension("sock")),
        })
    }

    /// Has another configuration served, and returns when a new worker does.
    async fn reload(&self, config: &Config) -> netlab::Result {
        config.write(&self.node)?;
        let before = self.pid().await?;
        // The master executes itself anew, and ends the conversation with that.
        self.master.tell("reload").await?;
        eventually(Duration::from_secs(10), async || match self.pid().await? {
            pid if pid != before => Ok(()),
            pid => Err(netlab::Error::msg(format!("{pid} serves still"))),
        })
        .await?;
        Ok(())
    }

    /// The process id of the worker that serves.
    async fn pid(&self) -> netlab::Result<u32> {
        let info = self.worker.ask("show info").await?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok());
        pid.ok_or_else(|| netlab::Error::msg(format!("no process id in: {info}")))
    }
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_reload_loses_nothing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let haproxy = Master::start(&lb, &Config::tcp()).await?;
    let test = LbTest::new([&client], vips());
    let (kept, fresh) = kept_and_fresh(&test).await?;
    let mut since = test.now();
    for config in [Config::tcp(), Config::tcp().with("balance leastconn"), without_the_first()] {
        haproxy.reload(&config).await?;
        since = test.now();
        fresh.until(|fresh| fresh.since(since).answers().count() >= 60).await?;
        kept.until(|kept| kept.since(since).answers().count() >= KEPT).await?;
    }
    let (fresh, kept) = (fresh.stop().await?, kept.stop().await?);
    println!("{}", fresh.summary());
    fresh.loses(Misses::none().longest_gap(Duration::from_secs(1))).holds()?;
    fresh.since(since).share_equally(&web[1..]).by_chance(FALSE_ALARM).holds()?;
    // Old workers go on as long as they have connections.
    kept.loses(Misses::none()).holds()?;
    kept.affinity(Key::Connection).always().holds()?;
    assert!(answered_by(&kept.since(since), &web[0]));
    assert!(haproxy.process.is_running());
    Ok(())
}

fn without_the_first() -> Config {
    Config::tcp().server_lines("server web2 {web2.addr}:80\n    server web3 {web3.addr}:80")
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn stopping_and_starting_is_no_reload(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    serve(&web, Over::Tcp).await?;
    let haproxy = HaProxy::start(&lb, &Config::tcp()).await?;
    let test = LbTest::new([&client], vips());
    let load = test.start(Load::rate(200.0, Duration::from_secs(30)))?;
    load.until(|load| load.answers().count() >= 30).await?;
    haproxy.process.terminate(Duration::from_secs(5)).await?;
    load.until(|load| load.misses().count() > 0).await?;
    HaProxy::start(&lb, &Config::tcp()).await?;
    let since = test.now();
    load.until(|load| load.since(since).answers().count() >= 30).await?;
    let traffic = load.stop().await?;
    let verdicts =
        [traffic.loses(Misses::none()), traffic.share_equally(&web).ignoring_misses().by_chance(FALSE_ALARM)];
    println!("{}\n{}", traffic.summary(), verdicts[0]);
    assert_eq!(failing(verdicts), ["failover"]);
    Ok(())
}
