//! TLS around any server.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::{Connection, Datagram, Echo, Listen, Server, Sink, Source};
use crate::lab::{LabError, Node};

/// A server behind TLS, with a certificate of the [lab's authority](crate::lab::Lab::ca) for its node's names and addresses.
#[derive(Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct Tls<S> {
    inside: Arc<S>,
    kind: String,
    config: OnceLock<Arc<ServerConfig>>,
}

/// A server's connections behind TLS: `servers::tls(servers::identity(443))`, or `servers::identity(443).tls()`.
pub fn tls<S: Server>(server: S) -> Tls<S> {
    Tls { kind: format!("TLS {}", server.kind()), inside: Arc::new(server), config: OnceLock::new() }
}

impl Echo {
    /// Behind TLS.
    pub fn tls(self) -> Tls<Self> {
        tls(self)
    }
}

impl Sink {
    /// Behind TLS.
    pub fn tls(self) -> Tls<Self> {
        tls(self)
    }
}

impl Source {
    /// Behind TLS.
    pub fn tls(self) -> Tls<Self> {
        tls(self)
    }
}

#[cfg(feature = "http")]
impl super::Identity {
    /// Behind TLS: HTTPS. HTTP/2 is what clients get that ask for it (ALPN).
    pub fn tls(self) -> Tls<Self> {
        tls(self)
    }
}

impl<S: Server> Server for Tls<S> {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn listen(&self) -> Vec<Listen> {
        self.inside.listen()
    }

    fn prepare(&self, node: &Node) -> Result<(), LabError> {
        self.inside.prepare(node)?;
        let config = node.tls_server(self.inside.protocols()).map_err(|error| {
            LabError::io(format!("node `{}`: a certificate for the {}", node.name(), self.kind), error)
        })?;
        // A server is served once, so that nothing is there yet.
        self.config.get_or_init(|| Arc::new(config));
        Ok(())
    }

    async fn connection(self: Arc<Self>, connection: Connection) -> io::Result<()> {
        let config = self.config.get().ok_or_else(|| io::Error::other("it was not prepared"))?;
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        let connection = connection.behind_tls(&acceptor).await?;
        Arc::clone(&self.inside).connection(connection).await
    }

    fn datagram(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        self.inside.datagram(datagram)
    }
}

impl<S> Deref for Tls<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inside
    }
}
