//! A running HAProxy.

use netlab::Process;
use netlab::prelude::*;

use super::Config;
use super::admin::Admin;

/// HAProxy on a node.
#[derive(Debug)]
pub struct HaProxy {
    pub process: Process,
    /// The runtime API of the process that serves.
    pub admin: Admin,
}

impl HaProxy {
    /// Starts it; it listens when this returns.
    pub async fn start(on: &Node, config: &Config) -> netlab::Result<Self> {
        netlab::requires_program("haproxy");
        let file = config.write(on)?;
        let socket = file.with_extension("sock");
        let process = on
            .command("haproxy")
            .args(["-db".as_ref(), "-f".as_ref(), file.as_os_str()])
            .ready_when(ready::port(config.port))
            .start()
            .await?;
        Ok(Self { process, admin: Admin(socket) })
    }

    /// Gives a server one of the states `ready`, `drain` and `maint`.
    pub async fn set_state(&self, server: &Node, state: &str) -> netlab::Result {
        self.admin.tell(&format!("set server web/{} state {state}", server.name())).await
    }

    /// Drains a server with the weight 0; another weight has it ready.
    pub async fn set_weight(&self, server: &Node, weight: u32) -> netlab::Result {
        if weight == 0 {
            return self.set_state(server, "drain").await;
        }
        self.admin.tell(&format!("set server web/{} weight {weight}", server.name())).await?;
        self.set_state(server, "ready").await
    }

    /// Likewise, of several.
    pub async fn set_weights(&self, weights: &[(&Node, u32)]) -> netlab::Result {
        for (server, weight) in weights {
            self.set_weight(server, *weight).await?;
        }
        Ok(())
    }
}
