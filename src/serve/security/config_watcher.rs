//! Loads the web configuration, and reloads it when one of its files changes.
//!
//! A file that is invalid, or that removes a protection, is rejected: the previous policy stays in effect, and the
//! failure is counted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{info, warn};

use crate::serve::security::config_error::{ConfigError, LoadError, ReadFileError};
use crate::serve::security::config_file::WebConfigFile;
use crate::serve::security::passwords::Users;
use crate::serve::security::policy::Policy;
use crate::serve::security::tls_config::TlsConfig;
use crate::serve::security::token_bucket::TokenBucket;

/// Results of reloading, for the metrics.
#[derive(Debug)]
pub struct ReloadStatus {
    failures: AtomicU64,
    last_succeeded: AtomicBool,
}

impl ReloadStatus {
    /// Number of reloads that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the policy in effect is that of the current file.
    #[must_use]
    pub fn last_succeeded(&self) -> bool {
        self.last_succeeded.load(Ordering::Relaxed)
    }
}

/// The files that were read, each with its version; `None` if it was missing.
type FileVersions = BTreeMap<PathBuf, Option<FileVersion>>;

/// Size, inode, and time of the last change of content or permissions.
type FileVersion = (u64, u64, i64, i64);

fn file_version(path: &Path) -> Option<FileVersion> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

/// The policy in effect, and the versions of its files to detect changes.
pub(crate) struct ConfigWatcher {
    path: PathBuf,
    versions: FileVersions,
    /// Why the current files are not in effect.
    last_error: Option<String>,
    pub(crate) policy: Arc<RwLock<Arc<Policy>>>,
    pub(crate) status: Arc<ReloadStatus>,
}

impl ConfigWatcher {
    /// Loads the file.
    ///
    /// # Errors
    /// If a file cannot be read, or the configuration is wrong.
    pub(crate) fn start(path: &Path) -> Result<Self, LoadError> {
        let (policy, versions) = load(path);
        Ok(Self {
            path: path.to_owned(),
            versions,
            last_error: None,
            policy: Arc::new(RwLock::new(Arc::new(policy?))),
            status: Arc::new(ReloadStatus {
                failures: AtomicU64::new(0),
                last_succeeded: AtomicBool::new(true),
            }),
        })
    }

    /// Reloads the configuration if a file changed, or if the last reload failed: the cause may be gone although no
    /// known file changed.
    pub(crate) fn reload_if_changed(&mut self) {
        let is_unchanged = self.versions.iter().all(|(path, version)| file_version(path) == *version);
        if is_unchanged && self.last_error.is_none() {
            return;
        }
        let (policy, versions) = load(&self.path);
        self.versions = versions;
        match policy.and_then(|policy| self.apply(policy)) {
            Ok(()) => {
                self.last_error = None;
                self.status.last_succeeded.store(true, Ordering::Relaxed);
                info!(file = %self.path.display(), "web configuration reloaded");
            }
            Err(error) => {
                let error = error.to_string();
                if is_unchanged && self.last_error.as_ref() == Some(&error) {
                    return;
                }
                self.status.failures.fetch_add(1, Ordering::Relaxed);
                self.status.last_succeeded.store(false, Ordering::Relaxed);
                warn!(%error, "reloading the web configuration failed; the previous configuration is still in use; fix the file");
                self.last_error = Some(error);
            }
        }
    }

    /// Applies a policy, unless it lacks a protection that the current one has. A file that is incompletely written, or
    /// that a full disk truncated, also lacks protections.
    fn apply(&self, policy: Policy) -> Result<(), LoadError> {
        let mut present = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = present.protections().into_iter().zip(policy.protections());
        if let Some(((key, _), _)) = pairs.find(|(old, new)| old.1 && !new.1) {
            let error = ConfigError::ProtectionRemoved { key };
            return Err(LoadError { path: self.path.clone(), error });
        }
        *present = Arc::new(policy);
        Ok(())
    }
}

impl Policy {
    /// The keys of the file that restrict who is served, and whether each is set.
    fn protections(&self) -> [(&'static str, bool); 4] {
        let has = |is_set: fn(&TlsConfig) -> bool| self.tls.as_ref().is_some_and(is_set);
        [
            ("tls_server_config", self.tls.is_some()),
            ("client_auth_type", has(|tls| tls.requires_client_cert)),
            ("client_allowed_sans", has(|tls| !tls.allowed_sans.is_empty())),
            ("basic_auth_users", !self.users.is_empty()),
        ]
    }
}

/// The policy of the file, and the versions of all files that were read. A version is determined before its file is
/// read, so that no change is missed.
fn load(path: &Path) -> (Result<Policy, LoadError>, FileVersions) {
    let mut versions = FileVersions::from([(path.to_owned(), file_version(path))]);
    let policy = read_policy(path, &mut versions);
    (policy.map_err(|error| LoadError { path: path.to_owned(), error }), versions)
}

fn read_policy(path: &Path, versions: &mut FileVersions) -> Result<Policy, ConfigError> {
    let text = fs::read_to_string(path).map_err(ConfigError::Read)?;
    let file = WebConfigFile::parse(&text)?;
    // As in other exporters, paths are relative to the configuration file.
    let directory = path.parent().unwrap_or(Path::new(""));
    let read_file = |name: &str| {
        let path = directory.join(name);
        versions.insert(path.clone(), file_version(&path));
        fs::read(&path).map_err(|error| ReadFileError { path, error })
    };
    let tls = file.tls_server_config.filter(|section| section.enables_tls());
    Ok(Policy {
        tls: tls.as_ref().map(|section| TlsConfig::new(section, read_file)).transpose()?,
        headers: file.http_server_config.unwrap_or_default().headers()?,
        users: Users::new(file.basic_auth_users.unwrap_or_default())?,
        rate_limit: file.rate_limit.as_ref().map(TokenBucket::new).transpose()?.flatten().map(Mutex::new),
    })
}
