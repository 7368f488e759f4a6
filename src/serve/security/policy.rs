//! The web configuration in effect: which clients are served, and with which headers.
//!
//! The thread that checks passwords also reloads changed files, so that no request waits for a file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::serve::security::config_error::SecurityError;
use crate::serve::security::config_watcher::{ConfigWatcher, ReloadStatus};
use crate::serve::security::passwords::{PasswordChecker, Users, Verdict};
use crate::serve::security::tls_config::TlsConfig;
use crate::serve::security::token_bucket::TokenBucket;

/// What a web configuration resolves to.
#[derive(Debug)]
pub(crate) struct Policy {
    /// `None` for plain HTTP.
    pub(crate) tls: Option<TlsConfig>,
    /// Headers to add to every response.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) users: Users,
    pub(crate) rate_limit: Option<Mutex<TokenBucket>>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("user name and password required")]
    Unauthorized,
    #[error("too many requests; retry later, or raise rate_limit in --web.config.file")]
    RateLimited,
    #[error("too many passwords are being checked; retry in a second")]
    Busy,
}

/// The policy in effect, and the thread that checks passwords and reloads the policy.
#[derive(Debug)]
pub struct Security {
    policy: Arc<RwLock<Arc<Policy>>>,
    passwords: PasswordChecker,
    pub(crate) status: Arc<ReloadStatus>,
}

impl Security {
    /// Loads the file and creates the thread.
    ///
    /// # Errors
    /// If the configuration is wrong, or the thread cannot be created.
    pub fn start(path: &Path, reload_interval: Duration) -> Result<Self, SecurityError> {
        let mut watcher = ConfigWatcher::start(path).map_err(SecurityError::Load)?;
        let (policy, status) = (Arc::clone(&watcher.policy), Arc::clone(&watcher.status));
        let passwords = PasswordChecker::start(reload_interval, move || watcher.reload_if_changed())
            .map_err(SecurityError::Thread)?;
        Ok(Self { policy, passwords, status })
    }

    /// The policy for a connection or request that begins now.
    #[must_use]
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks the rate limit, then the password.
    ///
    /// # Errors
    /// If the request must not be answered.
    pub(crate) async fn authorize(&self, policy: &Policy, headers: &HeaderMap) -> Result<(), Denied> {
        if let Some(bucket) = &policy.rate_limit
            && !bucket.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            return Err(Denied::RateLimited);
        }
        if policy.users.is_empty() {
            return Ok(());
        }
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match self.passwords.check(&policy.users, authorization).await {
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(Denied::Unauthorized),
            Verdict::Busy => Err(Denied::Busy),
        }
    }
}
