//! Settings of the HTTP server.

use std::path::PathBuf;
use std::time::Duration;

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
    pub timeouts: Timeouts,
}

/// Timeouts and intervals of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// For a TLS handshake, and for the head of a request. An idle connection is closed after it, too.
    pub header: Duration,
    /// Time in which a client must read some bytes of a response.
    pub write: Duration,
    /// From a request to the end of its response. A slower client would keep an old body in memory.
    pub response: Duration,
    /// A connection is not evicted earlier after it was accepted or sent a request: its response may be under way.
    pub min_idle: Duration,
    /// Time that running requests have to finish at shutdown.
    pub shutdown: Duration,
    /// Between checks whether the files of the web configuration changed.
    pub reload_interval: Duration,
    /// For each step of a health check. Container runtimes have a default limit of 30 s.
    pub health_check: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            write: Duration::from_secs(10),
            response: Duration::from_secs(30),
            min_idle: Duration::from_millis(250),
            shutdown: Duration::from_secs(4),
            reload_interval: Duration::from_secs(1),
            health_check: Duration::from_secs(3),
        }
    }
}

impl Timeouts {
    /// The defaults, each multiplied by `factor`.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let all = Self::default();
        Self {
            header: all.header.mul_f64(factor),
            write: all.write.mul_f64(factor),
            response: all.response.mul_f64(factor),
            min_idle: all.min_idle.mul_f64(factor),
            shutdown: all.shutdown.mul_f64(factor),
            reload_interval: all.reload_interval.mul_f64(factor),
            health_check: all.health_check.mul_f64(factor),
        }
    }
}
