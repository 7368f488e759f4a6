//! The web configuration as its files change. What is broken, or protects less, changes nothing: the old rules stay,
//! and the failure is counted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{info, warn};

use crate::serve::security::config_file::WebFile;
use crate::serve::security::passwords::Users;
use crate::serve::security::rate_limit::Bucket;
use crate::serve::security::rules::Rules;
use crate::serve::security::tls::Tls;

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

/// The files that were read, each with what would be another after a change.
type Sighting = BTreeMap<PathBuf, Option<Seen>>;

/// Size, inode, and when either of them, content or rights were changed.
type Seen = (u64, u64, i64, i64);

fn see(path: &Path) -> Option<Seen> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

/// Looks whether the files have changed.
pub(crate) struct Watch {
    path: PathBuf,
    sighting: Sighting,
    /// Why the files as they are now are not in force.
    status_error: Option<String>,
    pub rules: Arc<RwLock<Arc<Rules>>>,
    pub health: Arc<Health>,
}

impl Watch {
    /// # Errors
    /// One line that names the file, and where in it what is wrong.
    pub fn start(path: &Path) -> Result<Self, String> {
        let (rules, sighting) = load(path);
        Ok(Self {
            path: path.to_owned(),
            sighting,
            status_error: None,
            rules: Arc::new(RwLock::new(Arc::new(rules?))),
            health: Arc::new(Health { failures: AtomicU64::new(0), is_good: AtomicBool::new(true) }),
        })
    }

    /// After a failure reads again even where nothing seems to have changed: what was missing may be there now.
    pub fn look(&mut self) {
        let is_as_seen = self.sighting.iter().all(|(path, seen)| see(path) == *seen);
        if is_as_seen && self.status_error.is_none() {
            return;
        }
        let (rules, sighting) = load(&self.path);
        self.sighting = sighting;
        match rules.and_then(|rules| self.replace(rules)) {
            Ok(()) => {
                self.status_error = None;
                self.health.is_good.store(true, Ordering::Relaxed);
                info!(file = %self.path.display(), "the web configuration was read anew");
            }
            Err(error) if is_as_seen && self.status_error.as_ref() == Some(&error) => {}
            Err(error) => {
                self.health.failures.fetch_add(1, Ordering::Relaxed);
                self.health.is_good.store(false, Ordering::Relaxed);
                warn!(%error, "the web configuration cannot be read anew, and the old one stays in force; mend the file");
                self.status_error = Some(error);
            }
        }
    }

    /// Takes new rules, unless they lack a protection that is in force: so does a file that is being written, or was
    /// cut short by a full disk.
    fn replace(&self, rules: Rules) -> Result<(), String> {
        let mut present = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let kept = rules.protections();
        if let Some((lost, _)) =
            present.protections().into_iter().zip(kept).find(|(old, new)| old.1 && !new.1)
        {
            let (path, lost) = (self.path.display(), lost.0);
            return Err(format!(
                "--web.config.file {path}: {lost} is no longer there; restart the exporter to serve without"
            ));
        }
        *present = Arc::new(rules);
        Ok(())
    }
}

impl Rules {
    /// What keeps somebody out, and whether it is asked for.
    fn protections(&self) -> [(&'static str, bool); 4] {
        let of_tls = |is_asked_for: fn(&Tls) -> bool| self.tls.as_ref().is_some_and(is_asked_for);
        [
            ("tls_server_config", self.tls.is_some()),
            ("client_auth_type", of_tls(|tls| tls.requires_certificates)),
            ("client_allowed_sans", of_tls(|tls| !tls.allowed_sans.is_empty())),
            ("basic_auth_users", !self.users.is_empty()),
        ]
    }
}

/// The rules of the file, and what was read for them. Seen before it is read, so that no change is missed.
fn load(path: &Path) -> (Result<Rules, String>, Sighting) {
    let mut sighting = Sighting::from([(path.to_owned(), see(path))]);
    let rules = read(path, &mut sighting);
    (rules.map_err(|error| format!("--web.config.file {}: {error}", path.display())), sighting)
}

fn read(path: &Path, sighting: &mut Sighting) -> Result<Rules, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file = WebFile::parse(&text)?;
    // Relative to the file that names them, as others have it.
    let directory = path.parent().unwrap_or(Path::new(""));
    let read = |file: &str| {
        let file = directory.join(file);
        sighting.insert(file.clone(), see(&file));
        fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let tls = file.tls_server_config.filter(|part| part.is_asked_for());
    Ok(Rules {
        tls: tls.as_ref().map(|part| Tls::new(part, read)).transpose()?,
        headers: file.http_server_config.unwrap_or_default().headers()?,
        users: Users::new(file.basic_auth_users.unwrap_or_default())?,
        bucket: file.rate_limit.as_ref().map(Bucket::new).transpose()?.flatten().map(Mutex::new),
    })
}
