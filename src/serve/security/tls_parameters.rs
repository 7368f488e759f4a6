//! TLS versions, cipher suites and curves that the web configuration selects, limited to those that rustls supports.
//!
//! The names are those of Go's `crypto/tls`. A name that Go does not have is an error. A name that only rustls lacks is
//! ignored, so that a file that works for other exporters works here.

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    CipherSuite, NamedGroup, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::serve::security::config_error::ConfigError;
use crate::serve::security::config_file::{TlsSection, TlsVersion};

/// Names that Go has and rustls lacks: suites with CBC or without forward secrecy, and aliases.
const UNSUPPORTED_SUITES: [&str; 10] = [
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
];
const UNSUPPORTED_CURVES: [&str; 1] = ["CurveP521"];

/// The crypto provider, limited to the selected suites and curves, and the TLS versions to offer.
///
/// # Errors
/// If a name is unknown, or no version or suite is left.
pub(crate) fn select(
    section: &TlsSection,
) -> Result<(CryptoProvider, Vec<&'static SupportedProtocolVersion>), ConfigError> {
    let mut provider = ring::default_provider();
    let mut versions = versions(section)?;
    if let Some(names) = section.cipher_suites.as_ref().filter(|names| !names.is_empty()) {
        let supported: Vec<String> = provider.cipher_suites.iter().map(suite_name).collect();
        check_names("cipher_suites", names, &supported, &UNSUPPORTED_SUITES)?;
        let rank = |suite: &SupportedCipherSuite| names.iter().position(|name| is_suite(name, suite));
        // As in Go, the suites of TLS 1.3 cannot be selected.
        provider.cipher_suites.retain(|suite| is_tls13(suite) || rank(suite).is_some());
        provider.cipher_suites.sort_by_key(rank);
        if provider.cipher_suites.iter().all(is_tls13) {
            versions.retain(|version| version.version == ProtocolVersion::TLSv1_3);
        }
        if versions.is_empty() {
            return Err(ConfigError::NoCipherSuite);
        }
    }
    if let Some(names) = section.curve_preferences.as_ref().filter(|names| !names.is_empty()) {
        let supported: Vec<String> =
            provider.kx_groups.iter().filter_map(|group| curve_name(group.name())).map(Into::into).collect();
        check_names("curve_preferences", names, &supported, &UNSUPPORTED_CURVES)?;
        let rank = |group: NamedGroup| names.iter().position(|name| curve_name(group) == Some(name));
        // If none of them is supported, the default curves remain.
        if provider.kx_groups.iter().any(|group| rank(group.name()).is_some()) {
            provider.kx_groups.retain(|group| rank(group.name()).is_some());
            provider.kx_groups.sort_by_key(|group| rank(group.name()));
        }
    }
    Ok((provider, versions))
}

fn versions(section: &TlsSection) -> Result<Vec<&'static SupportedProtocolVersion>, ConfigError> {
    let min = section.min_version.unwrap_or(TlsVersion::Tls12);
    let max = section.max_version.unwrap_or(TlsVersion::Tls13);
    let all = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    let versions: Vec<_> =
        all.into_iter().filter(|(version, _)| (min..=max).contains(version)).map(|(_, it)| it).collect();
    if versions.is_empty() { Err(ConfigError::NoVersion) } else { Ok(versions) }
}

/// Checks that Go has every name.
fn check_names(
    key: &'static str,
    names: &[String],
    supported: &[String],
    unsupported: &[&str],
) -> Result<(), ConfigError> {
    match names.iter().find(|name| !supported.contains(name) && !unsupported.contains(&name.as_str())) {
        Some(name) => Err(ConfigError::UnknownName { key, name: name.clone(), known: supported.join(", ") }),
        None => Ok(()),
    }
}

fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.version().version == ProtocolVersion::TLSv1_3
}

/// Go's name of a suite: it has `TLS` instead of rustls' `TLS13`.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    CipherSuite::as_str(&suite.suite()).unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// Go also has the suites with ChaCha20 under a name without the hash.
fn is_suite(name: &str, suite: &SupportedCipherSuite) -> bool {
    let full = suite_name(suite);
    name == full || name.ends_with("_POLY1305") && full.strip_suffix("_SHA256") == Some(name)
}

fn curve_name(group: NamedGroup) -> Option<&'static str> {
    match group {
        NamedGroup::secp256r1 => Some("CurveP256"),
        NamedGroup::secp384r1 => Some("CurveP384"),
        NamedGroup::X25519 => Some("X25519"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(suites: &[&str], curves: &[&str]) -> TlsSection {
        let owned = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        TlsSection { cipher_suites: owned(suites), curve_preferences: owned(curves), ..TlsSection::default() }
    }

    #[test]
    fn named_suites_are_the_only_ones_of_tls_1_2() {
        let gcm = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let (provider, versions) = select(&section(&["TLS_RSA_WITH_AES_128_CBC_SHA", gcm], &[])).unwrap();
        let older: Vec<_> = provider.cipher_suites.iter().filter(|suite| !is_tls13(suite)).collect();
        assert_eq!(older.len(), 1);
        assert_eq!(older[0].suite(), CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
        assert_eq!(versions.len(), 2);
    }

    #[test]
    fn without_a_suite_of_tls_1_2_only_tls_1_3_is_offered() {
        for name in ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA"]
        {
            let (_, versions) =
                select(&section(&[name], &[])).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(versions, [&TLS13], "{name}");
        }
        let old =
            TlsSection { max_version: Some(TlsVersion::Tls12), ..section(&["TLS_AES_128_GCM_SHA256"], &[]) };
        assert!(select(&old).unwrap_err().to_string().contains("cipher_suites"));
    }

    #[test]
    fn curves_have_the_order_of_the_file_and_default_if_none_is_supported() {
        let groups = |curves: &[&str]| {
            let (provider, _) = select(&section(&[], curves)).unwrap();
            provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        let named = groups(&["CurveP384", "CurveP521", "X25519"]);
        assert_eq!(named, [NamedGroup::secp384r1, NamedGroup::X25519]);
        assert_eq!(groups(&["CurveP521"]), groups(&[]));
    }

    #[test]
    fn a_name_unknown_to_go_is_rejected_even_next_to_a_known_one() {
        for (suites, curves, name) in [
            (&["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GMC_SHA256"][..], &[][..], "GMC"),
            (&[], &["X25519", "CurvP256"], "CurvP256"),
        ] {
            let error = select(&section(suites, curves)).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
