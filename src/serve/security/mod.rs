//! TLS, users and rate limits: `--web.config.file`.

pub mod cipher_suites;
pub mod config_file;
pub mod passwords;
pub mod rate_limit;
pub mod reload;
pub mod rules;
pub mod self_signed;
pub mod tls;
pub mod unverified;
