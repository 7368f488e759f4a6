//! TLS as the web configuration asks for it, by rustls with ring.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    CipherSuite, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::file::{ClientAuth, TlsPart, TlsVersion};
use super::unverified::Unverified;

/// What a listener needs.
#[derive(Debug)]
pub struct Tls {
    pub config: Arc<ServerConfig>,
    /// Of these a client's certificate must have one; any, where there are none.
    pub allowed_sans: Vec<String>,
}

impl Tls {
    /// `read` gives the bytes of a file that the configuration names.
    ///
    /// # Errors
    /// One line that names the key of the configuration.
    pub fn new(part: &TlsPart, read: impl Fn(&str) -> Result<Vec<u8>, String>) -> Result<Self, String> {
        let provider = Arc::new(provider(part)?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(part)?)
            .map_err(|error| format!("tls_server_config: {error}"))?;
        let builder = match client_verifier(part, &provider, &read)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = certificates("cert", &pem(("cert", &part.cert), ("cert_file", &part.cert_file), &read)?)?;
        let key =
            PrivateKeyDer::from_pem_slice(&pem(("key", &part.key), ("key_file", &part.key_file), &read)?)
                .map_err(|_| {
                    "tls_server_config: the key is none, or encrypted; give an unencrypted one in PEM"
                        .to_owned()
                })?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("tls_server_config: certificate and key do not fit: {error}"))?;
        config.ignore_client_order = part.prefer_server_cipher_suites.unwrap_or(true);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), allowed_sans: allowed_sans(part)? })
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

/// What stands in the file itself, or in a file that it names.
fn pem(
    (inline_key, inline): (&str, &Option<String>),
    (file_key, file): (&str, &Option<String>),
    read: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    match (set(inline), set(file)) {
        (Some(_), Some(_)) => Err(format!("tls_server_config: give {inline_key} or {file_key}, not both")),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(path)) => read(&path).map_err(|error| format!("tls_server_config: {file_key}: {error}")),
        (None, None) => Err(format!("tls_server_config: {inline_key} or {file_key} is missing")),
    }
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
    read: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let has_ca =
        [&part.client_ca, &part.client_ca_file].iter().any(|it| it.as_ref().is_some_and(|it| !it.is_empty()));
    let is_required = match part.client_auth_type {
        ClientAuth::NoClientCert if has_ca => {
            return Err(
                "tls_server_config: client_ca_file wants client_auth_type: RequireAndVerifyClientCert".into(),
            );
        }
        ClientAuth::NoClientCert => return Ok(None),
        ClientAuth::RequestClientCert => return Ok(Some(Arc::new(Unverified::new(provider, false)))),
        ClientAuth::RequireAnyClientCert => return Ok(Some(Arc::new(Unverified::new(provider, true)))),
        ClientAuth::VerifyClientCertIfGiven => false,
        ClientAuth::RequireAndVerifyClientCert => true,
    };
    let pem = pem(("client_ca", &part.client_ca), ("client_ca_file", &part.client_ca_file), read)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", &pem)? {
        roots.add(certificate).map_err(|error| format!("tls_server_config: client_ca: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder
        .build()
        .map(|verifier| Some(verifier as _))
        .map_err(|error| format!("tls_server_config: client_ca: {error}"))
}

fn versions(part: &TlsPart) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let least = part.min_version.unwrap_or(TlsVersion::Tls12);
    let most = part.max_version.unwrap_or(TlsVersion::Tls13);
    let all = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    let versions: Vec<_> =
        all.into_iter().filter(|(version, _)| (least..=most).contains(version)).map(|(_, it)| it).collect();
    if versions.is_empty() {
        return Err("tls_server_config: min_version and max_version leave neither TLS12 nor TLS13".into());
    }
    Ok(versions)
}

/// Of what is asked for that which is secure enough to be there at all.
fn provider(part: &TlsPart) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if !part.cipher_suites.is_empty() {
        let asked = |name: CipherSuite| {
            let name = name.as_str().unwrap_or_default();
            // Go has names without the hash for some.
            part.cipher_suites.iter().position(|it| it == name || name.strip_suffix("_SHA256") == Some(it))
        };
        let is_newer = |suite: &SupportedCipherSuite| suite.version().version == ProtocolVersion::TLSv1_3;
        provider.cipher_suites.retain(|suite| is_newer(suite) || asked(suite.suite()).is_some());
        provider.cipher_suites.sort_by_key(|suite| asked(suite.suite()));
        if provider.cipher_suites.iter().all(is_newer) && versions(part)?.contains(&&TLS12) {
            return Err("tls_server_config: none of cipher_suites is to be had; those of TLS 1.2 with ECDHE and GCM or \
                        CHACHA20 are"
                .into());
        }
    }
    if !part.curve_preferences.is_empty() {
        let asked = |group: NamedGroup| {
            let name = match group {
                NamedGroup::secp256r1 => "CurveP256",
                NamedGroup::secp384r1 => "CurveP384",
                NamedGroup::X25519 => "X25519",
                _ => return None,
            };
            part.curve_preferences.iter().position(|it| it == name)
        };
        provider.kx_groups.retain(|group| asked(group.name()).is_some());
        provider.kx_groups.sort_by_key(|group| asked(group.name()));
        if provider.kx_groups.is_empty() {
            return Err("tls_server_config: curve_preferences are of CurveP256, CurveP384, X25519".into());
        }
    }
    Ok(provider)
}

fn allowed_sans(part: &TlsPart) -> Result<Vec<String>, String> {
    let is_required = matches!(
        part.client_auth_type,
        ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert
    );
    if !part.client_allowed_sans.is_empty() && !is_required {
        return Err(
            "tls_server_config: client_allowed_sans wants client_auth_type: RequireAndVerifyClientCert"
                .into(),
        );
    }
    if let Some(address) = part.client_allowed_sans.iter().find(|it| it.contains('@') && !it.contains("://"))
    {
        return Err(format!(
            "tls_server_config: client_allowed_sans: {address:?} is an e-mail address; give a DNS name, an IP address or a URI"
        ));
    }
    Ok(part.client_allowed_sans.clone())
}
