//! Clients that TLS refuses: said once, and again after a calm while.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::serve::server::ConnectionError;

/// Longer than most scrape intervals: a scraper that is refused each time is one trouble.
const CALM: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct TlsErrorLog(Mutex<Option<Instant>>);

impl TlsErrorLog {
    /// Those who only come and go, as port scans do, are none.
    pub(crate) fn note(&self, peer: SocketAddr, error: &ConnectionError) {
        if is_refusal(error) && self.should_log(Instant::now()) {
            warn!(
                %peer,
                %error,
                "a client was refused, and others may be; if it is your scraper, mend its scheme and tls_config, or \
                 tls_server_config in --web.config.file"
            );
        }
    }

    fn should_log(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) > CALM)
    }
}

fn is_refusal(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Name => true,
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
    fn one_trouble_is_news_once() {
        let refusals = TlsErrorLog::default();
        let start = Instant::now();
        let news = [0, 15, 600, 1200, 1801, 1816]
            .map(|second| refusals.should_log(start + Duration::from_secs(second)));
        assert_eq!(news, [true, false, false, false, true, false]);
    }
}
