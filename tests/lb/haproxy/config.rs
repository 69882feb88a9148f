//! The configuration, with what a test has different.

use netlab::lb::Over;
use netlab::prelude::*;

/// Round robin before the nodes `web[..]`, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) port: u16,
    mode: &'static str,
    idle: String,
    backend: Vec<String>,
    servers: String,
}

impl Config {
    pub fn over(over: Over) -> Self {
        Self {
            port: 80,
            mode: if over == Over::Http { "http" } else { "tcp" },
            idle: "30s".to_owned(),
            backend: vec!["balance roundrobin".to_owned()],
            servers: "server {web[*].name} {web[*].addr}:80".to_owned(),
        }
    }

    pub fn tcp() -> Self {
        Self::over(Over::Tcp)
    }

    pub fn http() -> Self {
        Self::over(Over::Http)
    }

    /// Another port than 80.
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// How long either side may be silent, 30 seconds unless set.
    pub fn idle(self, time: &str) -> Self {
        Self { idle: time.to_owned(), ..self }
    }

    /// One more line for the backend; of two that say the same the last counts.
    pub fn with(mut self, line: &str) -> Self {
        self.backend.push(line.to_owned());
        self
    }

    /// What every server's line has behind its address.
    pub fn servers(mut self, options: &str) -> Self {
        self.servers += " ";
        self.servers += options;
        self
    }

    /// Lines for the servers, in the place of one for each node `web[..]`.
    pub fn server_lines(self, lines: &str) -> Self {
        Self { servers: lines.to_owned(), ..self }
    }

    /// Writes it for a node, and gives its path.
    pub fn write(&self, on: &Node) -> netlab::Result<std::path::PathBuf> {
        let Self { port, mode, idle, backend, servers } = self;
        let backend = backend.join("\n    ");
        // Few connections, so that it asks for no more open files than an ordinary user may have.
        let text = format!(
            "\
global
    stats socket {{node.dir}}/haproxy-{port}.sock level admin expose-fd listeners
    maxconn 400

defaults
    mode {mode}
    timeout connect 1s
    timeout client {idle}
    timeout server {idle}

frontend front
    bind :::{port} v4v6
    default_backend web

backend web
    {backend}
    {servers}
"
        );
        Ok(on.file(&format!("haproxy-{port}.cfg"), &text)?)
    }
}
