//! TLS with the lab's own authority.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use netlab::prelude::*;
use netlab::servers::DnsRecord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PATIENCE, SILENCE, both};

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node client lan; node web lan")]
async fn https_by_name_and_address_over_both_families_and_versions(
    client: Node,
    web: Node,
) -> netlab::Result {
    let server = web.serve(servers::identity(443).tls()).await?;
    let urls = ["https://web/".to_owned(), "https://web.lan/".to_owned()];
    let urls = urls.into_iter().chain(both(&web, 443).map(|addr| format!("https://{addr}/")));
    let mut count = 0;
    for url in urls {
        for http2 in [false, true] {
            let request = client.get(&url);
            let response = if http2 { request.http2() } else { request }.await?;
            let seen = response.seen()?;
            assert_eq!((seen.node.as_str(), seen.peer), ("web", response.local));
            assert_eq!(response.protocol, if http2 { "HTTP/2.0" } else { "HTTP/1.1" });
            count += 1;
        }
    }
    // The settings are those of the server inside, the counters those of the whole.
    server.set_status(503);
    assert_eq!(client.get("https://web/").await?.status, 503);
    let seen = server.until(move |seen| seen.closed == count + 1).await?;
    assert_eq!(seen.requests, count + 1);
    Ok(())
}

/// HTTP/2 behind TLS is agreed upon, not known beforehand (ALPN).
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn the_version_of_http_is_agreed_upon(lab: Lab, client: Node, web: Node) -> netlab::Result {
    web.serve(servers::identity(443).tls()).await?;
    web.serve(servers::echo(8443).tls()).await?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(lab.ca()?.pem().as_bytes())?)?;
    let chosen = async |port: u16, offered: &[&str]| -> netlab::Result<Option<String>> {
        let mut config = ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = client.tcp_connect((&web, port)).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect("web".try_into()?, stream).await?;
        let chosen = stream.get_ref().1.alpn_protocol();
        Ok(chosen.map(|name| String::from_utf8_lossy(name).into_owned()))
    };
    let (h2, http1) = (Some("h2".to_owned()), Some("http/1.1".to_owned()));
    assert_eq!(chosen(443, &["h2", "http/1.1"]).await?, h2);
    assert_eq!(chosen(443, &["http/1.1", "h2"]).await?, h2, "the server prefers it");
    assert_eq!(chosen(443, &["http/1.1"]).await?, http1);
    assert_eq!(chosen(443, &[]).await?, None);
    assert!(chosen(443, &["smtp"]).await.is_err());
    assert_eq!(chosen(8443, &["h2"]).await?, None);

    let error = format!("{:#}", client.get("https://web:8443/").http2().await.unwrap_err());
    assert!(error.ends_with("the server has not agreed to HTTP/2 (ALPN, RFC 7301)"), "{error}");
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan; node ns lan")]
async fn who_is_not_meant_is_not_believed(lab: Lab, client: Node, web: Node, ns: Node) -> netlab::Result {
    web.serve(servers::identity(443).tls()).await?;
    web.serve(servers::identity(80)).await?;
    let dns = lab.dns_server(&ns).await?;
    dns.set("bank.example", [DnsRecord::addr(web.addr())])?;
    client.set_name_servers([&ns])?;
    assert_eq!(client.get("http://bank.example/").await?.status, 200, "the name leads there");
    let error = client.get("https://bank.example/").await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("not valid for name"), "{text}");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(ErrorKind::InvalidData));
    // Who speaks no TLS is no HTTPS server, and the other way round.
    assert!(client.get("https://web:80/").await.is_err());
    assert!(client.get("http://web:443/").await.is_err());

    // Another lab's authority is another one.
    let other = Lab::build(Topology::parse("net l 10.9.0.0/24; node web l", "other")?.plan()?)?;
    assert_ne!(lab.ca()?.pem(), other.ca()?.pem());
    assert_ne!(lab.ca()?.path(), other.ca()?.path());
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node client lan; node web lan=.3")]
async fn programs_find_the_authority_and_certificates(lab: Lab, client: Node, web: Node) -> netlab::Result {
    let script = "echo $SSL_CERT_FILE; cat $CURL_CA_BUNDLE; \
                  for file in $REQUESTS_CA_BUNDLE $NODE_EXTRA_CA_CERTS; do cmp $file $SSL_CERT_FILE; done";
    let ca = lab.ca()?;
    for node in [&client, &web, &lab.host()] {
        let output = node.command("sh").args(["-c", script]).output().await?;
        let text = String::from_utf8(output.stdout)?;
        assert_eq!(text, format!("{}\n{}", ca.path().display(), ca.pem()), "{}", node.name());
    }
    // What the test says counts.
    let own = client.command("sh").args(["-c", "echo $SSL_CERT_FILE"]).env("SSL_CERT_FILE", "/mine");
    assert_eq!(own.output().await?.stdout, b"/mine\n");

    let files = web.certificate()?;
    let read = |path| std::fs::read_to_string(path);
    let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(read(&files.both)?, certificate + &key);
    Ok(())
}

#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn controls_act_behind_tls_too(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::identity(443).tls()).await?;
    let kind = async |timeout: Duration| {
        let error = client.get("https://web/").timeout(timeout).await.unwrap_err();
        error.io_error().map(std::io::Error::kind)
    };
    server.hang();
    assert_eq!(kind(SILENCE).await, Some(ErrorKind::TimedOut));
    server.resume()?;
    assert_eq!(client.get("https://web/").await?.status, 200);
    server.kill();
    assert_eq!(kind(PATIENCE).await, Some(ErrorKind::ConnectionRefused));
    server.resume()?;
    // A handshake that is none is a connection that failed.
    let failed = server.until(|seen| seen.open == 0).await?.failed;
    let mut stream = client.tcp_connect((&web, 443)).await?;
    stream.write_all(b"hello, is this TLS?\n").await?;
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await??;
    server.until(move |seen| seen.failed == failed + 1).await?;
    Ok(())
}

/// Any server may be behind TLS.
#[netlab::test(topology = "net lan; node client lan; node web lan")]
async fn an_echo_behind_tls_is_no_http(client: Node, web: Node) -> netlab::Result {
    let server = web.serve(servers::echo(443).tls()).await?;
    let error = client.get("https://web/").await.unwrap_err();
    assert!(error.to_string().contains("GET https://web/"), "{error}");
    assert!(server.until(|seen| seen.closed == 1).await?.bytes_in > 0);
    let error = web.serve(servers::tls(servers::sink(443))).await.unwrap_err().to_string();
    assert!(error.contains("the TLS sink cannot listen"), "{error}");
    assert!(error.contains("the TLS echo server of this test"), "{error}");
    Ok(())
}
