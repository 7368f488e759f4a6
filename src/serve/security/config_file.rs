//! The web configuration: the file that all exporters of Prometheus' kind take with `--web.config.file`. Pure.
//!
//! The format is that of the exporter-toolkit (its docs/web-configuration.md). A key that it does not have is an
//! error, with its line; so is a value that we could not honour.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;

/// The whole file. Every part may be missing, or be there and empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebFile {
    pub tls_server_config: Option<TlsPart>,
    pub http_server_config: Option<HttpPart>,
    /// Hashes of passwords by user name.
    pub basic_auth_users: Option<BTreeMap<String, String>>,
    pub rate_limit: Option<RatePart>,
}

/// Certificates may be named, or stand in the file itself; what is named comes first.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsPart {
    pub cert: Option<String>,
    pub key: Option<String>,
    pub client_ca: Option<String>,
    pub cert_file: Option<String>,
    pub key_file: Option<String>,
    pub client_ca_file: Option<String>,
    pub client_auth_type: Option<ClientAuth>,
    pub client_allowed_sans: Option<Vec<String>>,
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
    /// Names as Go has them; for TLS 1.2 only.
    pub cipher_suites: Option<Vec<String>>,
    pub prefer_server_cipher_suites: Option<bool>,
    pub curve_preferences: Option<Vec<String>>,
}

/// Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// What is below 1.2 nobody should speak any more, and we do not: as a minimum it means 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpPart {
    /// Taken and passed over: HTTP/1.1 is all that a scrape wants.
    pub http2: Option<bool>,
    pub headers: Option<HeaderPart>,
}

/// The headers that may be added to every response; an empty value adds none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderPart {
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
pub struct RatePart {
    /// As Go writes durations; 0 for no limit.
    pub interval: Option<String>,
    pub burst: Option<u32>,
}

impl WebFile {
    /// # Errors
    /// One line that says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        // An empty file asks for nothing; comments alone are as empty.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map(|location| format!("line {}: ", location.line()));
            let message = error.without_snippet().to_string();
            let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            format!("{}{message}", line.unwrap_or_default())
        })
    }
}

impl TlsPart {
    /// Whether TLS is to be spoken: a section without any of these asks for nothing.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        let texts =
            [&self.cert, &self.key, &self.client_ca, &self.cert_file, &self.key_file, &self.client_ca_file];
        self.client_auth_type.is_some() || texts.into_iter().flatten().any(|text| !text.is_empty())
    }
}

impl HttpPart {
    /// # Errors
    /// One line that names the header.
    pub fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let frames = ["deny", "sameorigin"];
        let sniffing = ["nosniff"];
        let Some(part) = &self.headers else { return Ok(Vec::new()) };
        let parts: [(&'static str, &Option<String>, &[&str]); 5] = [
            ("content-security-policy", &part.content_security_policy, &[]),
            ("x-frame-options", &part.x_frame_options, &frames),
            ("x-content-type-options", &part.x_content_type_options, &sniffing),
            ("x-xss-protection", &part.x_xss_protection, &[]),
            ("strict-transport-security", &part.strict_transport_security, &[]),
        ];
        let mut headers = Vec::new();
        for (name, value, allowed) in parts {
            let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else { continue };
            if !allowed.is_empty() && !allowed.iter().any(|known| value.eq_ignore_ascii_case(known)) {
                return Err(format!("http_server_config: {name} is one of {}", allowed.join(", ")));
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("http_server_config: {name} has characters that no header may have"))?;
            headers.push((HeaderName::from_static(name), value));
        }
        Ok(headers)
    }
}

impl RatePart {
    /// The time between two requests; `None` for no limit.
    ///
    /// # Errors
    /// One line that says how durations are written.
    pub fn interval(&self) -> Result<Option<Duration>, String> {
        let Some(interval) = self.interval.as_deref().filter(|interval| *interval != "0") else {
            return Ok(None);
        };
        let interval = humantime::parse_duration(interval)
            .map_err(|_| "rate_limit: interval is a time, such as 1s or 100ms, or 0".to_owned())?;
        Ok(Some(interval).filter(|interval| !interval.is_zero()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_exporters_take() {
        let file = WebFile::parse(
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
    fn what_is_there_and_empty_asks_for_nothing() {
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
            let file = WebFile::parse(empty).unwrap_or_else(|error| panic!("{empty:?} gave {error}"));
            assert!(file.basic_auth_users.unwrap_or_default().is_empty(), "{empty:?}");
            assert!(!file.tls_server_config.unwrap_or_default().is_asked_for(), "{empty:?}");
            assert!(file.http_server_config.unwrap_or_default().headers().unwrap().is_empty(), "{empty:?}");
            assert!(file.rate_limit.unwrap_or_default().interval().unwrap().is_none(), "{empty:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, mentions) in [
            ("tls_server_config:\n  cert_fil: x\n", &["line 2", "cert_fil"][..]),
            ("basic_auth_users:\n  a: b\nrate_limits:\n  burst: 1\n", &["line 3", "rate_limits"]),
            ("tls_server_config:\n  min_version: TLS14\n", &["line 2", "TLS14"]),
            ("tls_server_config:\n  client_auth_type: Maybe\n", &["line 2", "Maybe"]),
            ("http_server_config:\n  headers:\n    X-Powered-By: me\n", &["line 3", "X-Powered-By"]),
            ("basic_auth_users: [a, b]\n", &["line 1"]),
            ("tls_server_config: {\n", &["line "]),
        ] {
            let error = WebFile::parse(text).expect_err(text);
            assert_eq!(error.lines().count(), 1, "{error}");
            for mention in mentions {
                assert!(error.contains(mention), "{text:?} gave {error:?}, which lacks {mention:?}");
            }
        }
    }
}
