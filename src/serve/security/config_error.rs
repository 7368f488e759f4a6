//! Errors of the web configuration. Every message is one line with the key and the fix.

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;
use tokio_rustls::rustls::server::VerifierBuilderError;

/// Why the exporter cannot start with its web configuration.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    #[error("{0}")]
    Load(LoadError),
    #[error("cannot create the thread that checks passwords: {0}; raise pids.max or ulimit -u")]
    Thread(io::Error),
}

/// Why a configuration is not applied.
#[derive(Debug, thiserror::Error)]
#[error("--web.config.file {}: {error}", .path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub error: ConfigError,
}

/// A file that the configuration names, and why it cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {error}; check the path and its permissions", .path.display())]
pub struct ReadFileError {
    pub path: PathBuf,
    pub error: io::Error,
}

/// An error in the file. Keys are named as in the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the file: {0}; check the path and its permissions")]
    Read(io::Error),
    /// YAML that cannot be parsed, an unknown key, or a value of the wrong type.
    #[error("{}{message}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Syntax { line: Option<u64>, message: String },
    #[error(
        "{key} was removed; a reload that drops TLS or authentication is rejected; restart the exporter to apply it"
    )]
    ProtectionRemoved { key: &'static str },

    #[error("tls_server_config: {key}: {error}")]
    ReferencedFile { key: &'static str, error: ReadFileError },
    #[error("tls_server_config: {key} and {file_key} are missing; set one of them")]
    Missing { key: &'static str, file_key: &'static str },
    #[error(
        "tls_server_config: {origin} contains no certificate in PEM format; use a file that openssl x509 can read"
    )]
    NoCertificate { origin: String },
    #[error(
        "tls_server_config: {origin} contains no unencrypted private key in PEM format; remove its passphrase"
    )]
    PrivateKey { origin: String },
    #[error(
        "tls_server_config: the certificate and the private key do not match: {0}; use the key of the certificate"
    )]
    KeyMismatch(rustls::Error),
    #[error("tls_server_config: {0}; check min_version, max_version and cipher_suites")]
    Parameters(rustls::Error),
    #[error("tls_server_config: client_ca is not usable: {0}; use the certificate of an authority")]
    ClientCa(rustls::Error),
    #[error("tls_server_config: client_ca is not usable: {0}; use the certificate of an authority")]
    ClientCaVerifier(VerifierBuilderError),
    #[error("tls_server_config: client_ca_file requires client_auth_type: RequireAndVerifyClientCert")]
    ClientCaUnused,
    #[error(
        "tls_server_config: client_allowed_sans is empty and rejects every client; add a name or remove the key"
    )]
    AllowedSansEmpty,
    #[error("tls_server_config: client_allowed_sans requires client_auth_type: RequireAndVerifyClientCert")]
    AllowedSansUnverified,
    #[error(
        "tls_server_config: client_allowed_sans: {0:?} is an e-mail address; use a DNS name, an IP address or a URI"
    )]
    AllowedSansEmail(String),
    #[error("tls_server_config: {key}: unknown value {name:?}; use one of {known}")]
    UnknownName { key: &'static str, name: String, known: String },
    #[error(
        "tls_server_config: none of cipher_suites is supported; use those with ECDHE and GCM or CHACHA20"
    )]
    NoCipherSuite,
    #[error("tls_server_config: min_version and max_version exclude TLS12 and TLS13; allow one of them")]
    NoVersion,

    #[error("http_server_config: unsupported value of {name}; use one of {allowed}")]
    HeaderValue { name: &'static str, allowed: String },
    #[error("http_server_config: {name} contains characters that a header must not contain; remove them")]
    HeaderCharacters { name: &'static str },

    #[error(
        "basic_auth_users: the value of {user:?} is not a bcrypt hash; create one with htpasswd -nBC 10 \"\""
    )]
    PasswordHash { user: String },

    #[error("rate_limit: interval is not a duration; use a value such as 1s or 100ms, or 0 for no limit")]
    RateInterval,
    #[error("rate_limit: a burst of 0 rejects every request; use 1 or more")]
    RateBurst,
}
