//! Settings of the HTTP server.

use std::path::PathBuf;

/// Settings of the HTTP server, as resolved from the flags.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// `host:port` or `:port`.
    pub listen_addresses: Vec<String>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// Maximum concurrent connections.
    pub max_connections: usize,
    /// Show the arguments of processes on pages and in JSON.
    pub arguments: bool,
    /// TLS, users, headers and rate limit.
    pub config_file: Option<PathBuf>,
    /// Listen on sockets from systemd instead of `listen_addresses`.
    pub systemd_socket: bool,
}
