//! TLS, client certificates, users, response headers and the rate limit: `--web.config.file`.
//!
//! | file | content |
//! |---|---|
//! | `config_file` | the format of the file |
//! | `config_error` | its errors |
//! | `config_watcher` | loads the file, and reloads it when it changes |
//! | `policy` | what the file resolves to; whether a request is authorized |
//! | `passwords` | checks passwords on their own thread |
//! | `token_bucket` | the rate limit |
//! | `tls_config` | certificates and client certificates, as rustls takes them |
//! | `tls_parameters` | TLS versions, cipher suites and curves |
//! | `self_signed_client_cert` | verifies client certificates that are their own authority |
//! | `unverified_client_cert` | accepts client certificates without verifying them |

pub mod config_error;
pub mod config_file;
mod config_watcher;
mod passwords;
mod policy;
mod self_signed_client_cert;
pub mod tls_config;
mod tls_parameters;
mod token_bucket;
mod unverified_client_cert;

pub(crate) use policy::Denied;

pub use config_watcher::ReloadStatus;
pub use policy::Security;
