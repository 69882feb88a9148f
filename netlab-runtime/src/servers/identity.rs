//! An HTTP server that says who it is.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;

use super::engine::pause;
use super::{Connection, Listen, Meter, Server};
use crate::lab::ToDestination;

/// An HTTP server that answers with who it is and whom it saw: [`identity`].
#[derive(Debug)]
#[must_use = "a server does nothing until a node serves it"]
pub struct Identity {
    listen: Listen,
    answer: Mutex<Answer>,
}

/// How it answers at the moment.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    delay: Duration,
    body: Option<Bytes>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// An HTTP server on a port of all of the node's addresses. It speaks HTTP/1.1 and, to who begins with it (prior knowledge, RFC 9113, 3.3),
/// HTTP/2. To every request it answers 200 with a text of a line for each fact; [`Seen`](super::Seen) reads it:
///
/// ```text
/// node: web1
/// peer: 10.0.0.1:53312
/// local: 10.0.0.11:80
/// sequence: 1
/// protocol: HTTP/1.1
/// request: GET /index.html
/// body: 0 bytes
/// header host: web1
/// ```
///
/// With `size=` in the query of the target, as in `GET /?size=100000`, a line `padding: ......` follows that fills the text up to so
/// many bytes, 16 MiB at most.
///
/// The fields `netlab-node` and `netlab-sequence` of the answer say the same when the text is [another](Identity::body).
pub fn identity(port: u16) -> Identity {
    let answer = Answer { status: StatusCode::OK, delay: Duration::ZERO, body: None, headers: Vec::new() };
    Identity { listen: Listen::tcp(port), answer: Mutex::new(answer) }
}

/// Each of these has a counterpart that changes the running server: [`set_status`](Identity::set_status) and so on. A request that was
/// counted before is answered as it was to be then.
impl Identity {
    /// On one address only.
    pub fn on(self, addr: impl ToDestination) -> Self {
        Self { listen: self.listen.on(addr), ..self }
    }

    /// Answers with this status.
    ///
    /// # Panics
    ///
    /// It is no status of HTTP: 100 to 999.
    #[track_caller]
    pub fn status(self, status: u16) -> Self {
        self.set_status(status);
        self
    }

    /// Answers so long after the request has come.
    pub fn delay(self, delay: Duration) -> Self {
        self.set_delay(delay);
        self
    }

    /// Answers with this body, rather than with who it is.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.set_body(body);
        self
    }

    /// Answers with this field as well.
    ///
    /// # Panics
    ///
    /// It is no header field of HTTP.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.set_header(name, value);
        self
    }

    fn answer(&self) -> MutexGuard<'_, Answer> {
        // A panic in between leaves the value before or the one after.
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on answers with this status.
    ///
    /// # Panics
    ///
    /// It is no status of HTTP: 100 to 999.
    #[track_caller]
    pub fn set_status(&self, status: u16) {
        match StatusCode::from_u16(status) {
            Ok(status) => self.answer().status = status,
            Err(error) => panic!("`{status}`: {error}"),
        }
    }

    /// From now on answers so long after the request has come.
    pub fn set_delay(&self, delay: Duration) {
        self.answer().delay = delay;
    }

    /// From now on answers with this body.
    pub fn set_body(&self, body: impl Into<Vec<u8>>) {
        self.answer().body = Some(Bytes::from(body.into()));
    }

    /// From now on answers with who it is again.
    pub fn unset_body(&self) {
        self.answer().body = None;
    }

    /// From now on answers with this field as well, in the place of one of the same name.
    ///
    /// # Panics
    ///
    /// It is no header field of HTTP.
    #[track_caller]
    pub fn set_header(&self, name: &str, value: &str) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(field), Ok(value)) => {
                let headers = &mut self.answer().headers;
                headers.retain(|(other, _)| *other != field);
                headers.push((field, value));
            }
            _ => panic!("`{name}: {value}` is no header field"),
        }
    }
}

impl Server for Identity {
    fn kind(&self) -> &str {
        "identity server"
    }

    fn listen(&self) -> Vec<Listen> {
        vec![self.listen.clone()]
    }

    async fn connection(self: Arc<Self>, connection: Connection) -> io::Result<()> {
        let who = Arc::new(Who::new(&connection));
        let service = service_fn(move |request| {
            let (server, who) = (Arc::clone(&self), Arc::clone(&who));
            async move { Ok::<_, Infallible>(server.respond(&who, request).await) }
        });
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).http2().timer(TokioTimer::new());
        http.serve_connection(TokioIo::new(connection), service).await.map_err(io::Error::other)
    }

    fn protocols(&self) -> &[&str] {
        &["h2", "http/1.1"]
    }
}

/// What a connection knows of itself.
struct Who {
    text: String,
    node: String,
    meter: Meter,
}

impl Who {
    fn new(connection: &Connection) -> Self {
        let (node, peer, local) = (connection.node(), connection.peer(), connection.local());
        let text = format!("node: {node}\npeer: {peer}\nlocal: {local}\n");
        Self { text, node: node.to_owned(), meter: connection.meter() }
    }
}

/// Fills a text up to the size that a query asks for, if it does.
fn fill_up(text: &mut String, query: &str) {
    const LARGEST: usize = 1 << 24;
    const LINE: &str = "padding: ";
    let size = query.split('&').find_map(|field| field.strip_prefix("size=")?.parse::<usize>().ok());
    let missing = size.unwrap_or(0).min(LARGEST).saturating_sub(text.len() + LINE.len() + 1);
    if missing > 0 {
        *text += LINE;
        text.extend(std::iter::repeat_n('.', missing));
        text.push('\n');
    }
}

impl Identity {
    async fn respond(&self, who: &Who, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // In this order: who has seen it counted may change the settings without changing its answer.
        let Answer { status, delay, body: own_body, headers } = self.answer().clone();
        let sequence = who.meter.request();
        let (head, body) = request.into_parts();
        // A body that breaks off breaks the connection, which is where that counts.
        let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
        if !delay.is_zero() {
            pause(delay).await;
        }
        let body = own_body.unwrap_or_else(|| {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let mut text = format!(
                "{}sequence: {sequence}\nprotocol: {:?}\nrequest: {} {target}\nbody: {length} bytes\n",
                who.text, head.version, head.method
            );
            // HTTP/2 has the host with the target (RFC 9113, 8.3.1).
            if let (Some(host), None) = (head.uri.authority(), head.headers.get("host")) {
                writeln!(text, "header host: {host}").expect("a string takes all that is written to it");
            }
            for (name, value) in &head.headers {
                let value = String::from_utf8_lossy(value.as_bytes());
                writeln!(text, "header {name}: {value}").expect("a string takes all that is written to it");
            }
            fill_up(&mut text, head.uri.query().unwrap_or_default());
            text.into()
        });
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert("netlab-sequence", sequence.into());
        if let Ok(node) = HeaderValue::try_from(&who.node) {
            fields.insert("netlab-node", node);
        }
        fields.extend(headers);
        response
    }
}
