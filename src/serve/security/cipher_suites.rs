//! Versions, cipher suites and curves: of what the web configuration asks for, that which is secure enough to be there.
//!
//! Names are those of Go's `crypto/tls`. One that Go does not have is an error; one that rustls does not have is passed
//! over.

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    CipherSuite, NamedGroup, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::serve::security::config_file::{TlsPart, TlsVersion};

/// What Go has and rustls does not: without forward secrecy, or with CBC; and second names.
const OTHER_SUITES: [&str; 10] = [
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
const OTHER_CURVES: [&str; 1] = ["CurveP521"];

/// The versions to speak, and by what.
///
/// # Errors
/// One line that names the key of the configuration.
pub fn choose(part: &TlsPart) -> Result<(CryptoProvider, Vec<&'static SupportedProtocolVersion>), String> {
    let mut provider = ring::default_provider();
    let mut versions = versions(part)?;
    if let Some(names) = part.cipher_suites.as_ref().filter(|names| !names.is_empty()) {
        let ours: Vec<String> = provider.cipher_suites.iter().map(suite_name).collect();
        check_names("cipher_suites", names, &ours, &OTHER_SUITES)?;
        let place = |suite: &SupportedCipherSuite| names.iter().position(|name| is_suite(name, suite));
        // As in Go: what TLS 1.3 may use is not to be chosen.
        provider.cipher_suites.retain(|suite| is_newer(suite) || place(suite).is_some());
        provider.cipher_suites.sort_by_key(place);
        if provider.cipher_suites.iter().all(is_newer) {
            versions.retain(|version| version.version == ProtocolVersion::TLSv1_3);
        }
        if versions.is_empty() {
            return Err("tls_server_config: none of cipher_suites is to be had; those of TLS 1.2 with ECDHE and GCM or \
                        CHACHA20 are"
                .into());
        }
    }
    if let Some(names) = part.curve_preferences.as_ref().filter(|names| !names.is_empty()) {
        let ours: Vec<String> =
            provider.kx_groups.iter().filter_map(|group| curve(group.name())).map(Into::into).collect();
        check_names("curve_preferences", names, &ours, &OTHER_CURVES)?;
        let place = |group: NamedGroup| names.iter().position(|name| curve(group) == Some(name));
        // Where none of them is to be had, those that are serve as well.
        if provider.kx_groups.iter().any(|group| place(group.name()).is_some()) {
            provider.kx_groups.retain(|group| place(group.name()).is_some());
            provider.kx_groups.sort_by_key(|group| place(group.name()));
        }
    }
    Ok((provider, versions))
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

/// `ours` are the names of what rustls has, `others` of what Go has besides.
fn check_names(key: &str, names: &[String], ours: &[String], others: &[&str]) -> Result<(), String> {
    match names.iter().find(|name| !ours.contains(name) && !others.contains(&name.as_str())) {
        Some(name) => {
            Err(format!("tls_server_config: {key}: there is no {name:?}; there are {}", ours.join(", ")))
        }
        None => Ok(()),
    }
}

fn is_newer(suite: &SupportedCipherSuite) -> bool {
    suite.version().version == ProtocolVersion::TLSv1_3
}

/// Go writes TLS where rustls writes TLS13, and for ChaCha20 also a name without the hash.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    CipherSuite::as_str(&suite.suite()).unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

fn is_suite(name: &str, suite: &SupportedCipherSuite) -> bool {
    let ours = suite_name(suite);
    name == ours || name.ends_with("_POLY1305") && ours.strip_suffix("_SHA256") == Some(name)
}

fn curve(group: NamedGroup) -> Option<&'static str> {
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

    fn part(suites: &[&str], curves: &[&str]) -> TlsPart {
        let owned = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        TlsPart { cipher_suites: owned(suites), curve_preferences: owned(curves), ..TlsPart::default() }
    }

    #[test]
    fn suites_that_are_named_are_all_there_are_below_1_3() {
        let gcm = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let (provider, versions) = choose(&part(&["TLS_RSA_WITH_AES_128_CBC_SHA", gcm], &[])).unwrap();
        let older: Vec<_> = provider.cipher_suites.iter().filter(|suite| !is_newer(suite)).collect();
        assert_eq!(older.len(), 1);
        assert_eq!(older[0].suite(), CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
        assert_eq!(versions.len(), 2);
    }

    #[test]
    fn without_a_suite_of_1_2_only_1_3_is_spoken() {
        for name in ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA"]
        {
            let (_, versions) = choose(&part(&[name], &[])).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(versions, [&TLS13], "{name}");
        }
        let old = TlsPart { max_version: Some(TlsVersion::Tls12), ..part(&["TLS_AES_128_GCM_SHA256"], &[]) };
        assert!(choose(&old).unwrap_err().contains("cipher_suites"));
    }

    #[test]
    fn curves_in_the_order_of_the_file_and_all_where_none_is_to_be_had() {
        let groups = |curves: &[&str]| {
            let (provider, _) = choose(&part(&[], curves)).unwrap();
            provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        let named = groups(&["CurveP384", "CurveP521", "X25519"]);
        assert_eq!(named, [NamedGroup::secp384r1, NamedGroup::X25519]);
        assert_eq!(groups(&["CurveP521"]), groups(&[]));
    }

    #[test]
    fn a_name_that_go_does_not_have_is_an_error_even_beside_one_that_it_has() {
        for (suites, curves, name) in [
            (&["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GMC_SHA256"][..], &[][..], "GMC"),
            (&[], &["X25519", "CurvP256"], "CurvP256"),
        ] {
            let error = choose(&part(suites, curves)).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
