//! The configuration, with what a test has different.

use std::path::PathBuf;

use netlab::lb::Over;
use netlab::prelude::*;

use super::instance::stream_module;

/// Round robin before the nodes `web[..]`, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    over: Over,
    upstream: String,
    servers: Vec<String>,
    server: Vec<String>,
}

impl Config {
    pub fn over(over: Over) -> Self {
        Self { over, upstream: String::new(), servers: Vec::new(), server: Vec::new() }
    }

    /// The line by which the upstream chooses.
    pub fn choosing(self, upstream: &str) -> Self {
        Self { upstream: upstream.to_owned(), ..self }
    }

    /// What every server's line has behind its address.
    pub fn servers(self, web: &[Node], options: &str) -> Self {
        Self { servers: web.iter().map(|backend| server(backend, options)).collect(), ..self }
    }

    /// Servers with weights; one of weight 0 is `down`.
    pub fn weighted(self, weights: &[(&Node, u32)]) -> Self {
        let line = |(backend, weight): &(&Node, u32)| match weight {
            0 => server(backend, "down"),
            weight => server(backend, &format!("weight={weight}")),
        };
        Self { servers: weights.iter().map(line).collect(), ..self }
    }

    /// One more line for the server that clients connect to.
    pub fn with(mut self, line: &str) -> Self {
        self.server.push(line.to_owned());
        self
    }

    /// Writes it for a node, and gives its path.
    pub async fn write(&self, on: &Node) -> netlab::Result<PathBuf> {
        let (module, block, proxy) = match self.over {
            Over::Http => (String::new(), "http", "location / { proxy_pass http://web; }"),
            Over::Tcp => (stream_module(on).await?, "stream", "proxy_pass web;"),
            Over::Udp => {
                (stream_module(on).await?, "stream", "proxy_pass web; proxy_responses 1; proxy_timeout 2s;")
            }
        };
        let udp = if self.over == Over::Udp { " udp" } else { "" };
        // Only HTTP has these: where bodies go that are too large for memory.
        let temporary = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
            .map(|what| format!("{what}_temp_path {{node.dir}}/{what};"))
            .join("\n    ");
        let temporary = if self.over == Over::Http { temporary } else { String::new() };
        // Root of the sandbox, the one user that there is everywhere. One worker, since each goes round robin by itself; with room for
        // what two loads have under way when the machine stands still for a second, and an ordinary user's files (1024).
        let text = format!(
            "\
{module}
user root;
worker_processes 1;
pid {{node.dir}}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 1000; }}

{block} {{
    access_log off;
    {temporary}
    upstream web {{
        {}
        {}
    }}
    server {{
        listen 80{udp};
        listen [::]:80{udp};
        {}
        {proxy}
    }}
}}
",
            self.upstream,
            self.servers.join("\n        "),
            self.server.join("\n        "),
        );
        Ok(on.file("nginx.conf", &text)?)
    }
}

fn server(backend: &Node, options: &str) -> String {
    format!("server {}:80 {options};", backend.addr())
}
