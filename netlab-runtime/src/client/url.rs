//! What of a URL is needed to ask for it.

use std::io;

use hyper::Uri;

use crate::lab::{Endpoint, ToDestination};

/// Where to connect to, and what to ask for there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) endpoint: Endpoint,
    pub(super) tls: bool,
}

impl Target {
    /// Reads a URL such as `http://web1:8080/path`.
    pub(super) fn parse(url: &str) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        if !url.contains("://") {
            return Err(invalid("a URL begins with `http://`".to_owned()));
        }
        let uri: Uri = url.parse().map_err(|error| invalid(format!("it is no URL: {error}")))?;
        let tls = match uri.scheme_str().unwrap_or_default() {
            "http" => false,
            "https" => true,
            other => return Err(invalid(format!("`{other}` is neither `http` nor `https`"))),
        };
        let host = uri.host().ok_or_else(|| invalid("it names no host".to_owned()))?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let destination = host.trim_start_matches('[').trim_end_matches(']').to_destination();
        Ok(Self { endpoint: Endpoint { destination, port }, uri, tls })
    }

    /// The host that a certificate is to be for, without brackets.
    #[cfg(feature = "tls")]
    pub(super) fn host(&self) -> String {
        match &self.endpoint.destination {
            crate::lab::Destination::Addr(addr) => addr.to_string(),
            crate::lab::Destination::Name(name) => name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Destination;

    #[test]
    fn a_url_names_host_and_port() {
        let target = |url: &str| Target::parse(url).map(|target| (target.endpoint, target.tls)).unwrap();
        assert_eq!(
            target("http://web1/x"),
            (Endpoint { destination: "web1".to_destination(), port: 80 }, false)
        );
        let addr = Destination::Addr("fd00::1".parse().unwrap());
        assert_eq!(target("https://[fd00::1]:8443"), (Endpoint { destination: addr, port: 8443 }, true));
        for (wrong, why) in [
            ("web1/", "a URL begins with `http://`"),
            ("ftp://web1/", "`ftp` is neither"),
            ("http:///", "no URL"),
        ] {
            let error = Target::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
