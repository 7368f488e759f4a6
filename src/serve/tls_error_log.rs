//! Logs clients that TLS rejects: once, and again after a time without one.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::serve::connection::ConnectionError;

/// Rejections are logged again after this time without one. Longer than most scrape intervals, so that a scraper that
/// is always rejected is logged once.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(crate) struct TlsErrorLog(Mutex<Option<Instant>>);

impl TlsErrorLog {
    /// Logs an error if it is a rejection. A client that only connects and disconnects, as a port scan does, is not
    /// rejected.
    pub(crate) fn log(&self, peer: SocketAddr, error: &ConnectionError) {
        if is_rejection(error) && self.should_log(Instant::now()) {
            warn!(
                %peer,
                %error,
                "client rejected by TLS; further rejections are not logged; if it is a scraper, fix its scheme and \
                 tls_config, or tls_server_config in --web.config.file"
            );
        }
    }

    fn should_log(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = last.replace(now);
        previous.is_none_or(|previous| now.saturating_duration_since(previous) > LOG_INTERVAL)
    }
}

fn is_rejection(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ClientName => true,
        ConnectionError::Tls(error) => {
            error.get_ref().is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_rejections_are_logged_once() {
        let log = TlsErrorLog::default();
        let start = Instant::now();
        let logged =
            [0, 15, 600, 1200, 1801, 1816].map(|second| log.should_log(start + Duration::from_secs(second)));
        assert_eq!(logged, [true, false, false, false, true, false]);
    }
}
