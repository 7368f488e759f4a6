//! What the HTTP server is told.

use std::path::PathBuf;

/// How HTTP is served.
#[derive(Clone, Debug)]
pub struct WebConfig {
    pub listen_addresses: Vec<String>,
    pub telemetry_path: String,
    pub max_connections: usize,
    /// Whether pages and JSON show arguments.
    pub arguments: bool,
    /// TLS, users and headers.
    pub config_file: Option<PathBuf>,
    /// Listen on what systemd opened, instead of on addresses.
    pub systemd_socket: bool,
}
