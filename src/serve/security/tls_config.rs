//! The TLS section of the web configuration as settings of rustls, with ring.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::model::text::sanitize;
use crate::serve::security::config_error::{ConfigError, ReadFileError};
use crate::serve::security::config_file::{ClientAuth, TlsSection};
use crate::serve::security::self_signed_client_cert::SelfSignedClientVerifier;
use crate::serve::security::tls_parameters;
use crate::serve::security::unverified_client_cert::UnverifiedClientVerifier;

/// TLS as a listener applies it.
#[derive(Debug)]
pub struct TlsConfig {
    pub(crate) server_config: Arc<ServerConfig>,
    /// Whether a handshake without a client certificate fails.
    pub(crate) requires_client_cert: bool,
    /// Names of which a client certificate must have one; any certificate is accepted if empty.
    pub(crate) allowed_sans: Vec<String>,
}

impl TlsConfig {
    /// `read_file` returns the content of a file that the configuration names.
    ///
    /// # Errors
    /// If a setting is wrong, or a file cannot be read or used.
    pub fn new(
        section: &TlsSection,
        mut read_file: impl FnMut(&str) -> Result<Vec<u8>, ReadFileError>,
    ) -> Result<Self, ConfigError> {
        let (provider, versions) = tls_parameters::select(section)?;
        let provider = Arc::new(provider);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(ConfigError::Parameters)?;
        let verifier = client_verifier(section, &provider, &mut read_file)?;
        let requires_client_cert = verifier.as_ref().is_some_and(|it| it.client_auth_mandatory());
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = pem(("cert", &section.cert), ("cert_file", &section.cert_file), &mut read_file)?;
        let chain = certificates(&chain)?;
        let key = pem(("key", &section.key), ("key_file", &section.key_file), &mut read_file)?;
        let key = PrivateKeyDer::from_pem_slice(&key.text)
            .map_err(|_| ConfigError::PrivateKey { origin: key.origin.clone() })?;
        let mut server_config = builder.with_single_cert(chain, key).map_err(ConfigError::KeyMismatch)?;
        server_config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
        server_config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let allowed_sans = allowed_sans(section)?;
        Ok(Self { server_config: Arc::new(server_config), requires_client_cert, allowed_sans })
    }

    /// Whether `client_allowed_sans` allows a client that presented these certificates, its own first.
    #[must_use]
    pub(crate) fn allows_client(&self, certificates: Option<&[CertificateDer<'_>]>) -> bool {
        if self.allowed_sans.is_empty() {
            return true;
        }
        let Some(certificate) = certificates.and_then(<[_]>::first) else { return false };
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
        let has_name = |allowed: &str| {
            certificate.valid_dns_names().chain(certificate.valid_uri_names()).any(|name| name == allowed)
        };
        let has_address = |allowed: &str| match ServerName::try_from(allowed) {
            Ok(name @ ServerName::IpAddress(_)) => {
                certificate.verify_is_valid_for_subject_name(&name).is_ok()
            }
            _ => false,
        };
        self.allowed_sans.iter().any(|allowed| has_name(allowed) || has_address(allowed))
    }
}

/// A text in PEM format, and the setting and the file that it is from.
struct Pem {
    text: Vec<u8>,
    origin: String,
}

/// The content of the named file, or the inline value.
fn pem(
    (key, inline): (&'static str, &Option<String>),
    (file_key, path): (&'static str, &Option<String>),
    mut read_file: impl FnMut(&str) -> Result<Vec<u8>, ReadFileError>,
) -> Result<Pem, ConfigError> {
    match (non_empty(path), non_empty(inline)) {
        (Some(path), _) => {
            let text =
                read_file(path).map_err(|error| ConfigError::ReferencedFile { key: file_key, error })?;
            Ok(Pem { text, origin: format!("{file_key} {}", sanitize(path.as_bytes())) })
        }
        (None, Some(text)) => Ok(Pem { text: text.as_bytes().to_vec(), origin: key.to_owned() }),
        (None, None) => Err(ConfigError::Missing { key, file_key }),
    }
}

fn non_empty(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.text).collect();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| ConfigError::NoCertificate { origin: pem.origin.clone() })
}

fn client_verifier(
    section: &TlsSection,
    provider: &Arc<CryptoProvider>,
    read_file: impl FnMut(&str) -> Result<Vec<u8>, ReadFileError>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ConfigError> {
    let has_ca = non_empty(&section.client_ca).or(non_empty(&section.client_ca_file)).is_some();
    let unverified = |is_required| UnverifiedClientVerifier::new(provider, is_required);
    let is_required = match section.client_auth_type.unwrap_or_default() {
        ClientAuth::NoClientCert if has_ca => return Err(ConfigError::ClientCaUnused),
        ClientAuth::NoClientCert => return Ok(None),
        ClientAuth::RequestClientCert => return Ok(Some(Arc::new(unverified(false)))),
        ClientAuth::RequireAnyClientCert => return Ok(Some(Arc::new(unverified(true)))),
        // Clients without a certificate are accepted, so an unverified one proves no more than none.
        ClientAuth::VerifyClientCertIfGiven if !has_ca => return Ok(None),
        ClientAuth::VerifyClientCertIfGiven => false,
        ClientAuth::RequireAndVerifyClientCert => true,
    };
    let (inline, path) = (("client_ca", &section.client_ca), ("client_ca_file", &section.client_ca_file));
    let trusted = certificates(&pem(inline, path, read_file)?)?;
    let mut roots = RootCertStore::empty();
    for certificate in &trusted {
        roots.add(certificate.clone()).map_err(ConfigError::ClientCa)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    let webpki = builder.build().map_err(ConfigError::ClientCaVerifier)?;
    Ok(Some(Arc::new(SelfSignedClientVerifier { webpki, trusted })))
}

fn allowed_sans(section: &TlsSection) -> Result<Vec<String>, ConfigError> {
    let Some(names) = &section.client_allowed_sans else { return Ok(Vec::new()) };
    if names.is_empty() {
        return Err(ConfigError::AllowedSansEmpty);
    }
    let requiring = [ClientAuth::RequireAnyClientCert, ClientAuth::RequireAndVerifyClientCert];
    if !section.client_auth_type.is_some_and(|kind| requiring.contains(&kind)) {
        return Err(ConfigError::AllowedSansUnverified);
    }
    if let Some(address) = names.iter().find(|it| it.contains('@') && !it.contains("://")) {
        return Err(ConfigError::AllowedSansEmail(address.clone()));
    }
    Ok(names.clone())
}
