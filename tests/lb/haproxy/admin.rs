//! HAProxy's runtime API: a command and its answer over a Unix socket (HAProxy Management Guide, 9.3).

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A socket that takes commands: that of a process (`stats socket`), or that of the master over it (`-S`).
#[derive(Clone, Debug)]
pub struct Admin(pub PathBuf);

impl Admin {
    /// The answer to a command.
    pub async fn ask(&self, command: &str) -> netlab::Result<String> {
        let mut socket = UnixStream::connect(&self.0).await?;
        socket.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer.trim().to_owned())
    }

    /// Carries a command out that has nothing to say unless it is refused.
    pub async fn tell(&self, command: &str) -> netlab::Result {
        match self.ask(command).await?.as_str() {
            "" => Ok(()),
            refused => Err(netlab::Error::msg(format!("`{command}`: {refused}"))),
        }
    }
}
