//! The web configuration: the format of `--web.config.file`, which all exporters of the Prometheus project share. Pure.
//!
//! The format is defined by the exporter-toolkit (docs/web-configuration.md). Unknown keys and values that cannot be
//! applied are errors that name the line or the key.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::model::text::sanitize;
use crate::serve::security::config_error::ConfigError;

/// The whole file. Every section may be missing or empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfigFile {
    pub tls_server_config: Option<TlsSection>,
    pub http_server_config: Option<HttpSection>,
    /// bcrypt hashes by user name.
    pub basic_auth_users: Option<BTreeMap<String, String>>,
    pub rate_limit: Option<RateLimitSection>,
}

/// A certificate or key is either the path of a file or the PEM text itself. If both are set, the path is used.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) client_ca: Option<String>,
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) client_ca_file: Option<String>,
    pub(crate) client_auth_type: Option<ClientAuth>,
    pub(crate) client_allowed_sans: Option<Vec<String>>,
    pub(crate) min_version: Option<TlsVersion>,
    pub(crate) max_version: Option<TlsVersion>,
    /// Go's names; they apply to TLS 1.2 only.
    pub(crate) cipher_suites: Option<Vec<String>>,
    pub(crate) prefer_server_cipher_suites: Option<bool>,
    pub(crate) curve_preferences: Option<Vec<String>>,
}

/// Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// TLS 1.0 and 1.1 are accepted in the file but not supported: as a minimum they mean 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Accepted and ignored: the server speaks HTTP/1.1 only, which every scraper supports.
    #[allow(dead_code, reason = "a key of the format; without the field it would be an unknown key")]
    http2: Option<bool>,
    headers: Option<HeadersSection>,
}

/// The headers that can be added to every response. An empty value adds no header.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HeadersSection {
    #[serde(rename = "Content-Security-Policy")]
    content_security_policy: Option<String>,
    #[serde(rename = "X-Frame-Options")]
    x_frame_options: Option<String>,
    #[serde(rename = "X-Content-Type-Options")]
    x_content_type_options: Option<String>,
    #[serde(rename = "X-XSS-Protection")]
    x_xss_protection: Option<String>,
    #[serde(rename = "Strict-Transport-Security")]
    strict_transport_security: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSection {
    /// A duration in Go's notation; 0 for no limit.
    pub(crate) interval: Option<String>,
    pub(crate) burst: Option<u32>,
}

impl WebConfigFile {
    /// Parses YAML.
    ///
    /// # Errors
    /// If the text is not YAML, has an unknown key, or a value of the wrong type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // An empty file is valid. The YAML parser rejects it, also if it contains comments.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| {
            let message = error.without_snippet().to_string();
            let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            ConfigError::Syntax {
                line: error.location().map(|location| location.line()),
                // It quotes the file.
                message: sanitize(message.as_bytes()).into_owned(),
            }
        })
    }
}

impl TlsSection {
    /// Whether the section enables TLS. A section without a certificate, key or client authentication does not.
    #[must_use]
    pub fn enables_tls(&self) -> bool {
        let texts =
            [&self.cert, &self.key, &self.client_ca, &self.cert_file, &self.key_file, &self.client_ca_file];
        self.client_auth_type.is_some() || texts.into_iter().flatten().any(|text| !text.is_empty())
    }
}

impl HttpSection {
    /// The headers to add to every response.
    ///
    /// # Errors
    /// If a header has a value that is not allowed.
    pub fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, ConfigError> {
        let frame_options = ["deny", "sameorigin"];
        let content_type_options = ["nosniff"];
        let Some(section) = &self.headers else { return Ok(Vec::new()) };
        let settings: [(&'static str, &Option<String>, &[&str]); 5] = [
            ("content-security-policy", &section.content_security_policy, &[]),
            ("x-frame-options", &section.x_frame_options, &frame_options),
            ("x-content-type-options", &section.x_content_type_options, &content_type_options),
            ("x-xss-protection", &section.x_xss_protection, &[]),
            ("strict-transport-security", &section.strict_transport_security, &[]),
        ];
        let mut headers = Vec::new();
        for (name, value, allowed) in settings {
            let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else { continue };
            if !allowed.is_empty() && !allowed.iter().any(|known| value.eq_ignore_ascii_case(known)) {
                return Err(ConfigError::HeaderValue { name, allowed: allowed.join(" or ") });
            }
            let value = HeaderValue::from_str(value).map_err(|_| ConfigError::HeaderCharacters { name })?;
            headers.push((HeaderName::from_static(name), value));
        }
        Ok(headers)
    }
}

impl RateLimitSection {
    /// The time in which one request is allowed; `None` for no limit.
    ///
    /// # Errors
    /// If it is not a duration.
    pub fn interval(&self) -> Result<Option<Duration>, ConfigError> {
        let Some(interval) = self.interval.as_deref().filter(|interval| *interval != "0") else {
            return Ok(None);
        };
        let interval = humantime::parse_duration(interval).map_err(|_| ConfigError::RateInterval)?;
        Ok(Some(interval).filter(|interval| !interval.is_zero()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_format_of_other_exporters() {
        let file = WebConfigFile::parse(
            "# a comment\ntls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  min_version: TLS12\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  cipher_suites:\n  - \
             TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\nhttp_server_config:\n  http2: true\n  headers:\n    \
             X-Frame-Options: deny\nbasic_auth_users:\n  alice: $2y$10$abc\nrate_limit:\n  interval: 1s\n  burst: 20\n",
        )
        .unwrap();
        let tls = file.tls_server_config.unwrap();
        assert_eq!(tls.cert_file.as_deref(), Some("server.crt"));
        assert_eq!(tls.client_auth_type, Some(ClientAuth::RequireAndVerifyClientCert));
        assert_eq!(tls.min_version, Some(TlsVersion::Tls12));
        assert_eq!(file.http_server_config.unwrap().headers().unwrap().len(), 1);
        assert_eq!(file.basic_auth_users.unwrap()["alice"], "$2y$10$abc");
        assert_eq!(file.rate_limit.unwrap().interval().unwrap(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn empty_sections_and_values_enable_nothing() {
        for empty in [
            "",
            "\n# nothing\n",
            "basic_auth_users:\ntls_server_config:\nhttp_server_config:\nrate_limit:\n",
            "tls_server_config: {}\nhttp_server_config: {}\nbasic_auth_users: {}\nrate_limit: {}\n",
            "tls_server_config:\n  min_version: TLS13\n  cipher_suites:\n  curve_preferences:\n  \
             client_allowed_sans:\n  client_auth_type:\n  cert_file: \"\"\n",
            "http_server_config:\n  http2:\n  headers:\n",
            "http_server_config:\n  headers:\n    X-Frame-Options:\n    Strict-Transport-Security: \"\"\n",
            "rate_limit:\n  burst: 20\n",
        ] {
            let file = WebConfigFile::parse(empty).unwrap_or_else(|error| panic!("{empty:?} gave {error}"));
            assert!(file.basic_auth_users.unwrap_or_default().is_empty(), "{empty:?}");
            assert!(!file.tls_server_config.unwrap_or_default().enables_tls(), "{empty:?}");
            assert!(file.http_server_config.unwrap_or_default().headers().unwrap().is_empty(), "{empty:?}");
            assert!(file.rate_limit.unwrap_or_default().interval().unwrap().is_none(), "{empty:?}");
        }
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (text, mentions) in [
            ("tls_server_config:\n  cert_fil: x\n", &["line 2", "cert_fil"][..]),
            ("basic_auth_users:\n  a: b\nrate_limits:\n  burst: 1\n", &["line 3", "rate_limits"]),
            ("tls_server_config:\n  min_version: TLS14\n", &["line 2", "TLS14"]),
            ("tls_server_config:\n  client_auth_type: Maybe\n", &["line 2", "Maybe"]),
            ("http_server_config:\n  headers:\n    X-Powered-By: me\n", &["line 3", "X-Powered-By"]),
            ("basic_auth_users: [a, b]\n", &["line 1"]),
            ("tls_server_config: {\n", &["line "]),
        ] {
            let error = WebConfigFile::parse(text).expect_err(text).to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
            for mention in mentions {
                assert!(error.contains(mention), "{text:?} gave {error:?}, which lacks {mention:?}");
            }
        }
    }
}
