//! TLS as the web configuration asks for it, by rustls with ring.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::serve::security::cipher_suites;
use crate::serve::security::config_file::{ClientAuth, TlsPart};
use crate::serve::security::self_signed::SelfSigned;
use crate::serve::security::unverified::Unverified;

/// What a listener needs.
#[derive(Debug)]
pub struct Tls {
    pub config: Arc<ServerConfig>,
    /// Whether nobody comes in without a certificate.
    pub requires_certificates: bool,
    /// Of these a client's certificate must have one; any, where there are none.
    pub allowed_sans: Vec<String>,
}

impl Tls {
    /// `read` gives the bytes of a file that the configuration names.
    ///
    /// # Errors
    /// One line that names the key of the configuration.
    pub fn new(
        part: &TlsPart,
        mut read: impl FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        let (provider, versions) = cipher_suites::choose(part)?;
        let provider = Arc::new(provider);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| format!("tls_server_config: {error}"))?;
        let verifier = client_verifier(part, &provider, &mut read)?;
        let requires_certificates = verifier.as_ref().is_some_and(|it| it.client_auth_mandatory());
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = pem(("cert", &part.cert), ("cert_file", &part.cert_file), &mut read)?;
        let chain = certificates("cert", &chain)?;
        let key = pem(("key", &part.key), ("key_file", &part.key_file), &mut read)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
            "tls_server_config: the key is none, or encrypted; give an unencrypted one in PEM".to_owned()
        })?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("tls_server_config: certificate and key do not fit: {error}"))?;
        config.ignore_client_order = part.prefer_server_cipher_suites.unwrap_or(true);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), requires_certificates, allowed_sans: allowed_sans(part)? })
    }

    /// Whether a client that showed these certificates may come in.
    #[must_use]
    pub fn admits(&self, certificates: Option<&[CertificateDer<'_>]>) -> bool {
        if self.allowed_sans.is_empty() {
            return true;
        }
        let Some(certificate) = certificates.and_then(<[_]>::first) else { return false };
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
        let has_name = |wanted: &str| {
            certificate.valid_dns_names().chain(certificate.valid_uri_names()).any(|name| name == wanted)
        };
        let has_address = |wanted: &str| match ServerName::try_from(wanted) {
            Ok(name @ ServerName::IpAddress(_)) => {
                certificate.verify_is_valid_for_subject_name(&name).is_ok()
            }
            _ => false,
        };
        self.allowed_sans.iter().any(|wanted| has_name(wanted) || has_address(wanted))
    }
}

/// What a file has that is named, or what stands in the configuration itself.
fn pem(
    (inline_key, inline): (&str, &Option<String>),
    (file_key, file): (&str, &Option<String>),
    mut read: impl FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    match (set(file), set(inline)) {
        (Some(path), _) => read(path).map_err(|error| format!("tls_server_config: {file_key}: {error}")),
        (None, Some(text)) => Ok(text.as_bytes().to_vec()),
        (None, None) => Err(format!("tls_server_config: {inline_key} or {file_key} is missing")),
    }
}

fn set(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("tls_server_config: {key} has no certificate in PEM")),
    }
}

fn client_verifier(
    part: &TlsPart,
    provider: &Arc<CryptoProvider>,
    read: impl FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let has_ca = set(&part.client_ca).or(set(&part.client_ca_file)).is_some();
    let is_required = match part.client_auth_type.unwrap_or_default() {
        ClientAuth::NoClientCert if has_ca => {
            return Err(
                "tls_server_config: client_ca_file wants client_auth_type: RequireAndVerifyClientCert".into(),
            );
        }
        ClientAuth::NoClientCert => return Ok(None),
        ClientAuth::RequestClientCert => return Ok(Some(Arc::new(Unverified::new(provider, false)))),
        ClientAuth::RequireAnyClientCert => return Ok(Some(Arc::new(Unverified::new(provider, true)))),
        // Whoever has none comes in, so nothing is lost where there is nothing to verify one by.
        ClientAuth::VerifyClientCertIfGiven if !has_ca => return Ok(None),
        ClientAuth::VerifyClientCertIfGiven => false,
        ClientAuth::RequireAndVerifyClientCert => true,
    };
    let pem = pem(("client_ca", &part.client_ca), ("client_ca_file", &part.client_ca_file), read)?;
    let trusted = certificates("client_ca", &pem)?;
    let mut roots = RootCertStore::empty();
    for certificate in &trusted {
        roots.add(certificate.clone()).map_err(|error| format!("tls_server_config: client_ca: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    let others = builder.build().map_err(|error| format!("tls_server_config: client_ca: {error}"))?;
    Ok(Some(Arc::new(SelfSigned { others, trusted })))
}

fn allowed_sans(part: &TlsPart) -> Result<Vec<String>, String> {
    let Some(names) = &part.client_allowed_sans else { return Ok(Vec::new()) };
    if names.is_empty() {
        return Err(
            "tls_server_config: client_allowed_sans is empty and would let nobody in; name somebody, or \
                    leave it out"
                .into(),
        );
    }
    let requires = [ClientAuth::RequireAnyClientCert, ClientAuth::RequireAndVerifyClientCert];
    if !part.client_auth_type.is_some_and(|kind| requires.contains(&kind)) {
        return Err(
            "tls_server_config: client_allowed_sans wants client_auth_type: RequireAndVerifyClientCert"
                .into(),
        );
    }
    if let Some(address) = names.iter().find(|it| it.contains('@') && !it.contains("://")) {
        return Err(format!(
            "tls_server_config: client_allowed_sans: {address:?} is an e-mail address; give a DNS name, an IP address or a URI"
        ));
    }
    Ok(names.clone())
}
