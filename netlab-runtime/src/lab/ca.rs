//! The lab's own certificate authority.
//!
//! Its key never leaves the process, and nobody but the lab's nodes is told to trust it.
//!
//! # Teardown
//!
//! Its files are in the lab's folder, which the kernel drops with the sandbox.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{Certificate as Signed, KeyUsagePurpose};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::state::State;
use super::{Lab, LabError, Node};

/// By what programs find out whom to trust: OpenSSL and Go, curl, Python's requests, Node.js. All of them are set, since a machine that has
/// one set to its own would keep the lab's from being found.
pub(in crate::lab) const VARIABLES: [&str; 4] =
    ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

/// The certificate authority of a lab: [`Lab::ca`].
#[derive(Clone)]
pub struct Ca(Arc<Inner>);

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    certificate: Signed,
    path: PathBuf,
}

/// A certificate with its key, as files: [`Node::certificate`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM (PKCS #8).
    pub key: PathBuf,
    /// Certificate and key in one file, as HAProxy wants it.
    pub both: PathBuf,
}

impl Lab {
    /// The lab's certificate authority, made when it is first wanted. [`Node::get`] trusts it, and so do programs started in nodes from then
    /// on that go by the environment: `SSL_CERT_FILE` (OpenSSL and what is built on it, rustls-native-certs, Go), `CURL_CA_BUNDLE`,
    /// `REQUESTS_CA_BUNDLE` and `NODE_EXTRA_CA_CERTS` name its file, unless the test sets them.
    ///
    /// # Errors
    ///
    /// The lab's folder cannot be had; see [`Node::dir`].
    pub fn ca(&self) -> Result<Ca, LabError> {
        self.state.ca().cloned().map_err(|error| LabError::io("the lab's certificate authority", error))
    }
}

impl Node {
    /// A certificate for the node's names and addresses, signed by [the lab's authority](Lab::ca), for a program to use. Each call makes
    /// another one, in the same files of the [node's folder](Node::dir).
    ///
    /// # Errors
    ///
    /// The node's folder cannot be had; see [`Node::dir`].
    pub fn certificate(&self) -> Result<Certificate, LabError> {
        let files = || -> io::Result<Certificate> {
            let (signed, key) = self.state().ca()?.issue(self)?;
            let folder = self.state().folder()?.of_node(self.name())?;
            let (certificate, key) = (signed.pem(), key.serialize_pem());
            let write = |name: &str, text: &str| -> io::Result<PathBuf> {
                let path = folder.join(name);
                fs::write(&path, text)?;
                Ok(path)
            };
            Ok(Certificate {
                both: write("tls.both.pem", &format!("{certificate}{key}"))?,
                certificate: write("tls.certificate.pem", &certificate)?,
                key: write("tls.key.pem", &key)?,
            })
        };
        files().map_err(|error| LabError::io(format!("node `{}`: its certificate", self.name()), error))
    }

    /// What a TLS server on the node shows, to clients who may ask for these protocols (ALPN).
    pub(crate) fn tls_server(&self, protocols: &[&str]) -> io::Result<ServerConfig> {
        let ca = self.state().ca()?;
        let (signed, key) = ca.issue(self)?;
        let chain = vec![signed.der().clone(), ca.0.certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(io::Error::other)?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    /// What a TLS client in the node believes: the lab's authority, and no other.
    pub(crate) fn tls_client(&self, protocol: &str) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.state().ca()?.0.certificate.der().clone()).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let mut config =
            config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(config)
    }
}

impl Ca {
    pub(super) fn make(state: &State) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("netlab, lab {}", state.name));
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let path = state.folder()?.root().join("ca.pem");
        fs::write(&path, certificate.pem())?;
        Ok(Self(Arc::new(Inner { issuer: Issuer::new(params, key), certificate, path })))
    }

    /// Its certificate, in PEM: for a client in the test that brings its own TLS.
    pub fn pem(&self) -> String {
        self.0.certificate.pem()
    }

    /// Its certificate, in DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.0.certificate.der().clone()
    }

    /// The file with its certificate, in PEM; every node sees it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Signs a certificate for a node's names and addresses.
    fn issue(&self, node: &Node) -> io::Result<(Signed, KeyPair)> {
        let addrs = node.addrs();
        let mut names = BTreeSet::from([node.name().to_owned(), "localhost".to_owned()]);
        let entries = node.state().plan.hosts();
        names.extend(
            entries.into_iter().filter(|entry| addrs.contains(&entry.addr)).flat_map(|entry| entry.names),
        );
        names.extend(addrs.iter().map(IpAddr::to_string));
        let issue = || -> Result<(Signed, KeyPair), rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(Vec::from_iter(names))?;
            params.distinguished_name.push(DnType::CommonName, node.name());
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            Ok((params.signed_by(&key, &self.0.issuer)?, key))
        };
        issue().map_err(io::Error::other)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("path", &self.0.path).finish_non_exhaustive()
    }
}
