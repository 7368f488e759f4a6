//! An authority that signs certificates, and a TLS client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

use super::PATIENCE;
use super::http::{self, Response};

/// Certificate and key in PEM format.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Identity {
    /// Writes `name.crt` and `name.key`, each by an atomic replacement.
    pub fn write(&self, directory: &Path, name: &str) {
        for (kind, content) in [("crt", &self.certificate), ("key", &self.key)] {
            let unfinished = directory.join(".unfinished");
            std::fs::write(&unfinished, content).expect("a scratch file");
            std::fs::rename(&unfinished, directory.join(format!("{name}.{kind}"))).expect("a scratch file");
        }
    }
}

pub struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        Self::valid_until(4000)
    }

    fn valid_until(year: i32) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        // The name must differ from those of signed certificates, otherwise OpenSSL treats them as self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// The self-signed certificate of this authority, such as `openssl req -x509` creates.
    pub fn identity(&self) -> Identity {
        Identity { certificate: self.certificate.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// An expired self-signed certificate.
    pub fn expired() -> Self {
        Self::valid_until(2001)
    }

    /// Issues a certificate for a server or a client with these DNS names or IP addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A TLS client: the authority that it trusts and the certificate that it presents.
pub struct TlsClient<'a> {
    pub trusts: &'a Authority,
    pub identity: Option<&'a Identity>,
    pub versions: &'static [&'static SupportedProtocolVersion],
}

pub const ANY_VERSION: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

impl TlsClient<'_> {
    /// Sends one request over one connection.
    ///
    /// # Errors
    /// If the TLS handshake fails.
    pub fn get(&self, address: &str, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Response> {
        let mut stream = self.ask(TcpStream::connect(address)?, path, headers)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(std::io::Error::other("closed without an answer"));
        }
        Ok(http::parse(&bytes))
    }

    /// Sends a request and returns the connection without reading the response.
    ///
    /// # Errors
    /// If the TLS handshake fails.
    pub fn ask(
        &self,
        socket: TcpStream,
        path: &str,
        headers: &[(&str, &str)],
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.trusts.certificate.as_bytes()).expect("PEM");
        roots.add(authority).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("an identity")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, socket);
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        Ok(stream)
    }
}
