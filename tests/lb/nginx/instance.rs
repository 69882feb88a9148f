//! A running nginx.

use std::path::Path;
use std::time::Duration;

use netlab::lb::Over;
use netlab::prelude::*;
use netlab::{Process, Signal};

use super::Config;

/// nginx on a node: a master, and one worker that serves.
#[derive(Debug)]
pub struct Nginx {
    node: Node,
    process: Process,
}

impl Nginx {
    /// Starts it; it listens when this returns.
    pub async fn start(on: &Node, over: Over, config: &Config) -> netlab::Result<Self> {
        netlab::requires_program("nginx");
        let file = config.write(on).await?;
        let port = if over == Over::Udp { ready::udp_port(80) } else { ready::port(80) };
        let process = on
            .command("nginx")
            .args(["-g", "daemon off;", "-c"])
            .arg(file)
            .ready_when(port)
            // Until the worker is there, connections wait in the queue of the socket.
            .ready_when(ready::log("start worker process "))
            .start()
            .await?;
        Ok(Self { node: on.clone(), process })
    }

    /// Has another configuration served, and returns when new connections are served by it alone.
    ///
    /// nginx takes its time: the master starts a new worker, and tells the old one to finish. That one accepts nothing more once it has
    /// said so, since it closes its listening sockets before it looks at them again (`ngx_worker_process_cycle`).
    pub async fn reload(&self, config: &Config) -> netlab::Result {
        config.write(&self.node).await?;
        let before = self.finishing()?;
        self.process.signal(Signal::HUP)?;
        eventually(Duration::from_secs(10), async || match self.finishing()? {
            now if now > before => Ok(()),
            _ => Err(netlab::Error::msg(format!("the old worker serves still: {}", self.process.log()?))),
        })
        .await?;
        Ok(())
    }

    /// Ends it at once, with all that it has in hand.
    pub async fn terminate(self) -> netlab::Result {
        self.process.terminate(Duration::from_secs(5)).await?;
        Ok(())
    }

    /// How many workers have been told to finish.
    fn finishing(&self) -> netlab::Result<usize> {
        Ok(self.process.log()?.matches(": gracefully shutting down").count())
    }
}

/// The line that loads the stream module, where it is not built in.
pub async fn stream_module(on: &Node) -> netlab::Result<String> {
    netlab::requires_program("nginx");
    let built = on.command("nginx").arg("-V").output().await?;
    let built = String::from_utf8_lossy(&built.stderr).into_owned();
    let mut words = built.split_whitespace();
    if words.clone().any(|word| word == "--with-stream") {
        return Ok(String::new());
    }
    let folder =
        words.find_map(|word| word.strip_prefix("--modules-path=")).unwrap_or("/usr/lib/nginx/modules");
    let module = Path::new(folder).join("ngx_stream_module.so");
    let found = if module.is_file() { Ok(()) } else { Err(format!("no `{}`", module.display())) };
    netlab::requires("nginx-stream", found, "install nginx's stream module (Debian: libnginx-mod-stream)");
    Ok(format!("load_module {};", module.display()))
}
