//! Scenario E with the kernel as balancer: DNAT rules of nftables, and a monitor that rewrites them.

use std::sync::Arc;
use std::time::Duration;

use netlab::lb::Sees;
use netlab::prelude::*;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::rows::{self, Balancer};

/// How often the monitor looks, and how long a backend may take to accept.
const LOOK: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_millis(500);

/// Rules that send each new connection to the next backend. What is open is the connection tracking's, and stays where it is.
#[derive(Clone)]
struct Rules {
    lb: Node,
    backends: Arc<Mutex<Vec<Backend>>>,
}

struct Backend {
    node: Node,
    accepts: bool,
    is_drained: bool,
}

impl Rules {
    /// Changes what is known of a backend, and the rules if anything has.
    async fn set(&self, backend: &Node, accepts: Option<bool>, is_drained: Option<bool>) -> netlab::Result {
        let mut backends = self.backends.lock().await;
        let mut changed = false;
        for known in backends.iter_mut().filter(|known| known.node == *backend) {
            let now = (accepts.unwrap_or(known.accepts), is_drained.unwrap_or(known.is_drained));
            changed |= now != (known.accepts, known.is_drained);
            (known.accepts, known.is_drained) = now;
        }
        if changed { self.write(&backends).await } else { Ok(()) }
    }

    /// Replaces all rules at once.
    async fn write(&self, backends: &[Backend]) -> netlab::Result {
        let usable: Vec<_> = backends.iter().filter(|known| known.accepts && !known.is_drained).collect();
        let map: Vec<_> = usable
            .iter()
            .enumerate()
            .map(|(turn, known)| format!("{turn} : {}", known.node.addr()))
            .collect();
        let rule = match usable.len() {
            0 => String::new(),
            number => format!("tcp dport 80 dnat to numgen inc mod {number} map {{ {} }}", map.join(", ")),
        };
        let text = format!(
            "\
table ip balancer {{}}
delete table ip balancer
table ip balancer {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        ip daddr {{lb.addr4.clients}} {rule}
    }}
}}
"
        );
        let file = self.lb.file("balancer.nft", &text)?;
        let output = self.lb.command("nft").arg("-f").arg(file).output().await?;
        if output.status.success() {
            return Ok(());
        }
        Err(netlab::Error::msg(format!("nft: {}\n{text}", String::from_utf8_lossy(&output.stderr))))
    }

    /// Connects to every backend again and again.
    async fn monitor(self, web: Vec<Node>) -> netlab::Result {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for backend in &web {
                let connected = timeout(PATIENCE, self.lb.tcp_connect((backend, 80))).await;
                self.set(backend, Some(matches!(connected, Ok(Ok(_)))), None).await?;
            }
        }
    }
}

/// The rules with their monitor.
struct Kernel {
    rules: Rules,
    monitor: JoinHandle<netlab::Result>,
}

impl Kernel {
    async fn start(lb: &Node, web: &[Node]) -> netlab::Result<Self> {
        netlab::requires_program("nft");
        let new = |node: &Node| Backend { node: node.clone(), accepts: true, is_drained: false };
        let backends = Arc::new(Mutex::new(web.iter().map(new).collect()));
        let rules = Rules { lb: lb.clone(), backends };
        rules.write(&rules.backends.lock().await).await?;
        let monitor = tokio::spawn(rules.clone().monitor(web.to_vec()));
        Ok(Self { rules, monitor })
    }

    /// Ends the monitor, which goes on for as long as nothing is wrong.
    async fn end(self) -> netlab::Result {
        self.monitor.abort();
        match self.monitor.await {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Balancer for Kernel {
    fn sees(&self) -> Sees {
        Sees::ClientAndPort
    }

    async fn drain(&self, backend: &Node) -> netlab::Result {
        self.rules.set(backend, None, Some(true)).await
    }
}

#[netlab::test(topology = "tests/topologies/balanced.topo")]
async fn dnat_rules_of_nftables(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let serving = rows::backends(&web).await?;
    let kernel = Kernel::start(&lb, &web).await?;
    rows::hold(&kernel, &client, &web, &serving).await?;
    kernel.end().await
}
