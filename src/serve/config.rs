//! What the HTTP server is told.

use std::path::PathBuf;
use std::time::Duration;

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
    pub timeouts: Timeouts,
}

/// How long the server waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// From the first byte that could be sent to the end of a request's head, and for a TLS handshake. Idle
    /// connections are closed after this time, too.
    pub header: Duration,
    /// For a client that reads nothing.
    pub write: Duration,
    /// From a request to the end of its response. A slower client would keep old snapshots in memory.
    pub response: Duration,
    /// A connection that was idle for less time is not evicted: its response may be under way.
    pub min_idle: Duration,
    /// For running requests after a signal to stop.
    pub shutdown: Duration,
    /// Between two checks whether the files of the web configuration have changed.
    pub reload_interval: Duration,
    /// For each step of a health check. Container runtimes give up after 30 s.
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
