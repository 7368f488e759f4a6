//! `--healthcheck`: asks the exporter that serves here whether it is healthy, for images that have no shell to do
//! that with.
//!
//! It wants the flags that the exporter was given. That it answers at all is what counts: who wants a password or
//! a certificate of a client is alive.

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
use crate::serve::security::config_file::WebFile;

const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What an exporter that lives answers: 200, or that it wants a password, or that many ask at the moment.
const ALIVE: [&str; 4] = ["200", "401", "429", "503"];

/// What a server that speaks TLS begins its answer with, to whom does not: a record of this type (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 21;

/// Asks the first address that the flags name.
///
/// # Errors
/// When nobody answers there, or not as an exporter does.
pub fn run(config: &WebConfig) -> anyhow::Result<()> {
    let address = config.listen_addresses.first().context("--web.listen-address names no address")?;
    let stream = connect(address, config.timeouts.health_check)
        .with_context(|| format!("unhealthy: no exporter answers on {address}"))?;
    let answer = if wants_tls(config)? { ask_through_tls(stream) } else { ask(stream) };
    let answer = answer.with_context(|| format!("unhealthy: no answer on {address}"))?;
    let Some(status) = answer else {
        println!("healthy: it wants TLS, or a client's certificate");
        return Ok(());
    };
    if !ALIVE.contains(&&*status) {
        bail!(
            "unhealthy: the answer on {address} is {status:?}; does an exporter with these flags serve there?"
        );
    }
    println!("healthy");
    Ok(())
}

fn wants_tls(config: &WebConfig) -> anyhow::Result<bool> {
    let Some(path) = &config.config_file else { return Ok(false) };
    let named = || format!("--web.config.file {}", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    let file = WebFile::parse(&text).map_err(anyhow::Error::msg).with_context(named)?;
    Ok(file.tls_server_config.is_some_and(|part| part.is_asked_for()))
}

/// Where all addresses are served, this machine's own is asked.
fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let any = address.strip_prefix(':').map(|port| format!("[::]:{port}"));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in any.as_deref().unwrap_or(address).to_socket_addrs()? {
        for address in reachable(address) {
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

fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| SocketAddr::new(ip, address.port());
    match address.ip() {
        // Served for IPv4, too, and alone where there is no IPv6.
        IpAddr::V6(ip) if ip.is_unspecified() => {
            vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]
        }
        IpAddr::V4(ip) if ip.is_unspecified() => vec![at(Ipv4Addr::LOCALHOST.into())],
        _ => vec![address],
    }
}

/// The status; `None` where the peer lives but does not speak to us.
fn ask(mut stream: impl io::Read + io::Write) -> io::Result<Option<String>> {
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

fn ask_through_tls(mut stream: TcpStream) -> io::Result<Option<String>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into());
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    match ask(Stream::new(&mut connection, &mut stream)) {
        Err(error) if is_alert(&error) => Ok(None),
        answer => answer,
    }
}

/// The peer speaks TLS, and says no.
fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::AlertReceived(_)))
}

/// The question is whether somebody lives there, not who: nothing is told and nothing is believed.
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
