//! Who may ask, and how: `--web.config.file`, in the format of all exporters of Prometheus' kind.
//!
//! The file and what it names are looked at every second by the thread that also checks passwords, so nothing of it
//! can hold a request up.

pub use crate::serve::security::reload::Health;
pub use crate::serve::security::tls::Tls;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::serve::security::passwords::{Passwords, Users, Verdict};
use crate::serve::security::rate_limit::Bucket;
use crate::serve::security::reload::Watch;

/// What the file asks for.
#[derive(Debug)]
pub struct Rules {
    pub tls: Option<Tls>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) users: Users,
    pub(crate) bucket: Option<Mutex<Bucket>>,
}

/// The rules in force, and the thread that keeps them so.
#[derive(Debug)]
pub struct Security {
    rules: Arc<RwLock<Arc<Rules>>>,
    passwords: Passwords,
    pub health: Arc<Health>,
}

impl Security {
    /// Reads the file, and makes the thread that reads it again after a change.
    ///
    /// # Errors
    /// One line that names the file, and where in it what is wrong.
    pub fn start(path: &Path, reload_interval: Duration) -> Result<Self, String> {
        let mut watch = Watch::start(path)?;
        let (rules, health) = (Arc::clone(&watch.rules), Arc::clone(&watch.health));
        let passwords = Passwords::start(reload_interval, move || watch.look())
            .map_err(|error| format!("cannot make a thread: {error}; raise pids.max or ulimit -u"))?;
        Ok(Self { rules, passwords, health })
    }

    /// The rules for a connection or a request that begins now.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a request may be answered; if not, with which status it is refused.
    ///
    /// # Errors
    /// 401 without the right password, 429 above the rate, 503 where too many passwords are being checked.
    pub async fn admit(&self, rules: &Rules, headers: &HeaderMap) -> Result<(), StatusCode> {
        if let Some(bucket) = &rules.bucket
            && !bucket.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        if rules.users.is_empty() {
            return Ok(());
        }
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match self.passwords.check(&rules.users, authorization).await {
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(StatusCode::UNAUTHORIZED),
            Verdict::Busy => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}
