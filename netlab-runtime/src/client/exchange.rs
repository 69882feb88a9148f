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
use tokio::net::TcpStream;

use super::url::Target;
use super::{Get, Response};

pub(super) async fn exchange(get: &Get, target: &Target, method: Method) -> io::Result<Response> {
    let stream = get.node.tcp_connect(target.endpoint.clone()).await?;
    let (from, local) = (stream.peer_addr()?, stream.local_addr()?);
    let request = request(get, target, method)?;
    let response = if target.tls {
        over(behind_tls(get, target, stream).await?, get.http2, request).await?
    } else {
        over(stream, get.http2, request).await?
    };
    Ok(Response { from, local, ..response })
}

/// The connection through TLS, with a server whose certificate is of the lab's authority and for the host of the URL.
#[cfg(feature = "tls")]
async fn behind_tls(
    get: &Get,
    target: &Target,
    stream: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let config = get.node.tls_client(if get.http2 { "h2" } else { "http/1.1" })?;
    let host = target.host().try_into().map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(host, stream).await?;
    // Behind TLS nobody is to know of HTTP/2 beforehand (RFC 9113, 3.2).
    if get.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let what = "the server has not agreed to HTTP/2 (ALPN, RFC 7301)";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(stream)
}

#[cfg(not(feature = "tls"))]
async fn behind_tls(_get: &Get, _target: &Target, _stream: TcpStream) -> io::Result<TcpStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "HTTPS needs feature `tls` of netlab"))
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
            http2::handshake(TokioExecutor::new(), stream).await.map_err(|error| into_io(&error, None))?;
        driven(connection, async { received(sender.send_request(request).await?).await }).await
    } else {
        let (mut sender, connection) =
            http1::handshake(stream).await.map_err(|error| into_io(&error, None))?;
        driven(connection, async { received(sender.send_request(request).await?).await }).await
    }
}

/// Waits for the response while the connection is driven.
async fn driven(
    connection: impl Future<Output = hyper::Result<()>>,
    response: impl Future<Output = hyper::Result<Response>>,
) -> io::Result<Response> {
    let (mut connection, mut response) = (std::pin::pin!(connection), std::pin::pin!(response));
    // How the connection ended: who waits for the response may be told only that it has.
    let mut end = None;
    loop {
        tokio::select! {
            biased;
            response = &mut response => {
                return response.map_err(|error| into_io(&error, end.and_then(hyper::Result::err).as_ref()));
            }
            ended = &mut connection, if end.is_none() => end = Some(ended),
        }
    }
}

async fn received<B>(response: hyper::Response<B>) -> hyper::Result<Response>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
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

/// The system's error if one is behind the response's or the connection's, so that its kind can be asked for.
fn into_io(error: &hyper::Error, connection: Option<&hyper::Error>) -> io::Error {
    match system_error(error).or_else(|| connection.and_then(system_error)) {
        // HTTP/2 says good-bye to who has hung up.
        Some((io::ErrorKind::BrokenPipe, ..)) => closed(),
        Some((_, Some(errno), _)) => io::Error::from_raw_os_error(errno),
        Some((kind, None, text)) => io::Error::new(kind, text),
        None if error.is_incomplete_message() || error.is_canceled() => closed(),
        None => io::Error::other(error.to_string()),
    }
}

/// Kind, number and text of the system's error that is behind an error.
fn system_error(error: &hyper::Error) -> Option<(io::ErrorKind, Option<i32>, String)> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some((error.kind(), error.raw_os_error(), error.to_string()));
        }
        cause = error.source();
    }
    None
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed before the response was whole")
}
