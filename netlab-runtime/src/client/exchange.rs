//! One request and its response over a connection of their own.

use std::error::Error as StdError;
use std::io;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::url::Target;
use super::{Get, Response};

pub(super) async fn exchange(get: &Get, target: &Target, method: Method) -> io::Result<Response> {
    let stream = get.node.tcp_connect(target.endpoint.clone()).await?;
    let (from, local) = (stream.peer_addr()?, stream.local_addr()?);
    if target.tls {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "HTTPS is feature `tls` of netlab"));
    }
    let response = over(stream, get.http2, request(get, target, method)?).await?;
    Ok(Response { from, local, ..response })
}

fn request(get: &Get, target: &Target, method: Method) -> io::Result<Request<Full<Bytes>>> {
    let invalid = |error: &dyn StdError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let mut request = Request::new(Full::new(get.body.clone().unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = target.uri.clone();
    for (name, value) in &get.headers {
        let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        request.headers_mut().append(name, HeaderValue::try_from(value).map_err(|error| invalid(&error))?);
    }
    if !get.http2 {
        // What HTTP/2 has in its own fields: the target without the host, and the host (RFC 9112, 3.2).
        let authority = target.uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::try_from(authority).map_err(|error| invalid(&error))?;
        request.headers_mut().entry(HOST).or_insert(host);
        let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse::<Uri>().map_err(|error| invalid(&error))?;
    }
    Ok(request)
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    request: Request<Full<Bytes>>,
) -> io::Result<Response> {
    let stream = TokioIo::new(stream);
    if http2 {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(into_io)?;
        driven(connection, async { received(sender.send_request(request).await.map_err(into_io)?).await })
            .await
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.map_err(into_io)?;
        driven(connection, async { received(sender.send_request(request).await.map_err(into_io)?).await })
            .await
    }
}

/// Waits for the response while the connection is driven.
async fn driven<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    response: impl Future<Output = io::Result<Response>>,
) -> io::Result<Response> {
    let (mut connection, mut response) = (std::pin::pin!(connection), std::pin::pin!(response));
    let mut over = false;
    loop {
        tokio::select! {
            biased;
            response = &mut response => return response,
            // What ended it is told to who waits for the response.
            _ended = &mut connection, if !over => over = true,
        }
    }
}

async fn received<B>(response: hyper::Response<B>) -> io::Result<Response>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(into_io)?.to_bytes().to_vec();
    let unspecified = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    Ok(Response {
        status: head.status.as_u16(),
        protocol: format!("{:?}", head.version),
        headers: headers.collect(),
        body,
        from: unspecified,
        local: unspecified,
    })
}

/// The system's error if one is behind it, so that its kind can be asked for.
fn into_io(error: hyper::Error) -> io::Error {
    let closed = || {
        let what = "the connection was closed before the response was whole";
        io::Error::new(io::ErrorKind::UnexpectedEof, what)
    };
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match (error.kind(), error.raw_os_error()) {
                // HTTP/2 says good-bye to who has hung up.
                (io::ErrorKind::BrokenPipe, _) => closed(),
                (_, Some(errno)) => io::Error::from_raw_os_error(errno),
                (kind, None) => io::Error::new(kind, error.to_string()),
            };
        }
        cause = error.source();
    }
    if error.is_incomplete_message() || error.is_canceled() { closed() } else { io::Error::other(error) }
}
