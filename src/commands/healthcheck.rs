//! `--healthcheck`: sends a request to the exporter that runs with the same flags, for images without a shell.
//!
//! Every valid response counts: an exporter that requires a password or a client certificate is healthy, too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, Stream,
};

use crate::serve::config::WebConfig;
use crate::serve::security::config_file::WebConfigFile;

const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Statuses of a healthy exporter: success, password required, and too many requests.
const HEALTHY_STATUSES: [&str; 4] = ["200", "401", "429", "503"];

/// Type of the record with which a TLS server responds to plain HTTP (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 21;

/// Sends a request to the first listen address.
///
/// # Errors
/// If there is no response, or it is not that of an exporter.
pub fn run(config: &WebConfig) -> anyhow::Result<()> {
    let address = config.listen_addresses.first().context("--web.listen-address has no address")?;
    let stream = connect(address, config.timeouts.health_check)
        .with_context(|| format!("unhealthy: cannot connect to {address}"))?;
    let status = if uses_tls(config)? { request_with_tls(stream) } else { request(stream) };
    let status = status.with_context(|| format!("unhealthy: no response from {address}"))?;
    let Some(status) = status else {
        println!("healthy: requires TLS or a client certificate");
        return Ok(());
    };
    if !HEALTHY_STATUSES.contains(&&*status) {
        bail!(
            "unhealthy: unexpected response from {address}: {status:?}; check whether an exporter with these flags runs \
             there"
        );
    }
    println!("healthy");
    Ok(())
}

fn uses_tls(config: &WebConfig) -> anyhow::Result<bool> {
    let Some(path) = &config.config_file else { return Ok(false) };
    let flag = || format!("--web.config.file {}", path.display());
    let text = std::fs::read_to_string(path).with_context(flag)?;
    let file = WebConfigFile::parse(&text).with_context(flag)?;
    Ok(file.tls_server_config.is_some_and(|section| section.enables_tls()))
}

/// Connects to a listen address. For a wildcard address, connects to the loopback addresses.
fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let any = address.strip_prefix(':').map(|port| format!("[::]:{port}"));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in any.as_deref().unwrap_or(address).to_socket_addrs()? {
        for address in connectable(address) {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(timeout))?;
                    stream.set_write_timeout(Some(timeout))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

fn connectable(address: SocketAddr) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| SocketAddr::new(ip, address.port());
    match address.ip() {
        // The exporter accepts IPv4 on it, too, and only IPv4 on a machine without IPv6.
        IpAddr::V6(ip) if ip.is_unspecified() => {
            vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]
        }
        IpAddr::V4(ip) if ip.is_unspecified() => vec![at(Ipv4Addr::LOCALHOST.into())],
        _ => vec![address],
    }
}

/// The status of the response; `None` if the server responds with a TLS alert.
fn request(mut stream: impl io::Read + io::Write) -> io::Result<Option<String>> {
    stream.write_all(REQUEST)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head[..1])?;
    if head[0] == TLS_ALERT {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..])?;
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(Some(head.strip_prefix("HTTP/1.1 ").unwrap_or(&head).to_owned()))
}

fn request_with_tls(mut stream: TcpStream) -> io::Result<Option<String>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into());
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    match request(Stream::new(&mut connection, &mut stream)) {
        Err(error) if is_alert(&error) => Ok(None),
        status => status,
    }
}

/// Whether the server rejected the handshake with a TLS alert.
fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::AlertReceived(_)))
}

/// Accepts any certificate: the request has no secrets, and only the status of the response is used.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
