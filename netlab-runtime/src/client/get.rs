//! A request about to be sent.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;

use super::url::Target;
use super::{Response, exchange};
use crate::lab::{LabError, Node};
use crate::settings;
use crate::sys::namespace;

/// How long a request may take unless told.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Node {
    /// Asks for a URL by HTTP from the node: `node.get("http://web1/").await?`.
    ///
    /// Names are those of the lab, else what resolves in the node. Each request has a connection of its own; nothing is followed, kept or
    /// tried again. Any status is a response.
    ///
    /// By hand: `ip netns exec NODE curl URL`.
    ///
    /// # Errors
    ///
    /// When awaited: no response came. [`LabError::io_error`] says why: refused, reset, timed out, ...
    pub fn get(&self, url: impl Into<String>) -> Get {
        let (node, url) = (self.clone(), url.into());
        Get {
            node,
            url,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: None,
            http2: false,
            timeout: TIMEOUT,
        }
    }
}

/// An HTTP request about to be sent: `.await` it, or call [`blocking`](Self::blocking). See [`Node::get`].
#[must_use = "a request is not sent until it is awaited, or `blocking` is called"]
#[derive(Clone, Debug)]
pub struct Get {
    pub(super) node: Node,
    url: String,
    method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Bytes>,
    pub(super) http2: bool,
    timeout: Duration,
}

impl Get {
    /// By another method than `GET`.
    pub fn method(self, method: impl Into<String>) -> Self {
        Self { method: method.into(), ..self }
    }

    /// With this header field as well.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into().into()), ..self }
    }

    /// By HTTP/2 rather than by HTTP/1.1: without asking first (prior knowledge, RFC 9113, 3.3), but over TLS only if the server agrees
    /// (ALPN). A reset may be told as an untimely end then.
    pub fn http2(self) -> Self {
        Self { http2: true, ..self }
    }

    /// How long it may take in all, 10 seconds unless set; `NETLAB_TIMEOUT_SCALE` multiplies it.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends the request and waits, blocking the calling thread.
    ///
    /// # Errors
    ///
    /// As when awaited.
    pub fn blocking(self) -> Result<Response, LabError> {
        let what = self.what();
        let node = self.node.clone();
        let response = namespace::on_thread(node.name(), || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.send())
        });
        response.flatten().map_err(|error| LabError::io(what, error))
    }

    async fn run(self) -> Result<Response, LabError> {
        let what = self.what();
        self.send().await.map_err(|error| LabError::io(what, error))
    }

    async fn send(self) -> io::Result<Response> {
        let target = Target::parse(&self.url)?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let timeout = settings::scaled(self.timeout);
        let response = tokio::time::timeout(timeout, exchange::exchange(&self, &target, method)).await;
        response.map_err(|_late| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no response within {timeout:?}"))
        })?
    }

    fn what(&self) -> String {
        format!("node `{}`: {self}", self.node.name())
    }
}

impl fmt::Display for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

impl IntoFuture for Get {
    type Output = Result<Response, LabError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
