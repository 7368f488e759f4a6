//! Who may ask, and how: `--web.config.file`, in the format of all exporters of Prometheus' kind.
//!
//! The file and what it names are looked at every second by the thread that also checks passwords, so nothing of it
//! can hold a request up. What is broken changes nothing: the old rules stay, and the failure is counted.

pub mod file;
mod passwords;
mod rate;
mod tls;
mod unverified;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tracing::{info, warn};

use file::WebFile;
use passwords::{Passwords, Users, Verdict};
use rate::Bucket;
pub use tls::Tls;

/// What the file asks for.
#[derive(Debug)]
pub struct Rules {
    pub tls: Option<Tls>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    users: Users,
    bucket: Option<Mutex<Bucket>>,
}

/// How reloading goes, for the metrics.
#[derive(Debug)]
pub struct Health {
    failures: AtomicU64,
    is_good: AtomicBool,
}

impl Health {
    /// Reloads that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the rules are those of the file as it is now.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_good.load(Ordering::Relaxed)
    }
}

/// The rules in force, and the thread that keeps them so.
#[derive(Debug)]
pub struct Security {
    rules: Arc<RwLock<Arc<Rules>>>,
    passwords: Passwords,
    pub health: Arc<Health>,
}

impl Security {
    /// Reads the file, and makes the thread.
    ///
    /// # Errors
    /// One line that names the file, and where in it what is wrong.
    pub fn start(path: &Path) -> Result<Self, String> {
        let (rules, sighting) = load(path)?;
        let rules = Arc::new(RwLock::new(Arc::new(rules)));
        let health = Arc::new(Health { failures: AtomicU64::new(0), is_good: AtomicBool::new(true) });
        let mut watch =
            Watch { path: path.to_owned(), sighting, rules: Arc::clone(&rules), health: Arc::clone(&health) };
        let passwords = Passwords::start(move || watch.look())
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

/// The files that were read, each with what would be another after a change.
type Sighting = BTreeMap<PathBuf, Option<(SystemTime, u64, u64)>>;

fn see(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Looks whether the files have changed.
struct Watch {
    path: PathBuf,
    sighting: Sighting,
    rules: Arc<RwLock<Arc<Rules>>>,
    health: Arc<Health>,
}

impl Watch {
    fn look(&mut self) {
        if self.sighting.iter().all(|(path, seen)| see(path) == *seen) {
            return;
        }
        match load(&self.path) {
            Ok((rules, sighting)) => {
                *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
                self.sighting = sighting;
                self.health.is_good.store(true, Ordering::Relaxed);
                info!(file = %self.path.display(), "the web configuration was read anew");
            }
            Err(error) => {
                // Not again before something has changed.
                for (path, seen) in &mut self.sighting {
                    *seen = see(path);
                }
                self.health.failures.fetch_add(1, Ordering::Relaxed);
                self.health.is_good.store(false, Ordering::Relaxed);
                warn!(%error, "the web configuration cannot be read anew, and the old one stays in force; mend the file");
            }
        }
    }
}

fn load(path: &Path) -> Result<(Rules, Sighting), String> {
    let mut sighting = Sighting::from([(path.to_owned(), see(path))]);
    let named = |error: String| format!("--web.config.file {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let file = WebFile::parse(&text).map_err(named)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    if let Some(part) = &file.tls_server_config {
        let files = [&part.cert_file, &part.key_file, &part.client_ca_file].into_iter().flatten();
        for file in files.filter(|file| !file.is_empty()).map(|file| directory.join(file)) {
            let seen = see(&file);
            sighting.insert(file, seen);
        }
    }
    // Relative to the file that names them, as others have it.
    let read = |file: &str| {
        let file = directory.join(file);
        fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let rules = (|| {
        Ok(Rules {
            tls: file.tls_server_config.as_ref().map(|part| Tls::new(part, read)).transpose()?,
            headers: file.http_server_config.headers.headers()?,
            users: Users::new(file.basic_auth_users.unwrap_or_default())?,
            bucket: file.rate_limit.as_ref().map(Bucket::new).transpose()?.flatten().map(Mutex::new),
        })
    })();
    Ok((rules.map_err(named)?, sighting))
}
