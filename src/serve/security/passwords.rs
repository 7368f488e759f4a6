//! Checks passwords against bcrypt hashes, on a thread made at start.
//!
//! A hash takes milliseconds to seconds, so it never runs on the thread that serves. Requests with the same password
//! share one check, and a verified password is cached while it is in use.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::{OnceCell, oneshot};

use crate::serve::security::config_error::ConfigError;

/// Passwords that wait to be hashed. Further requests are rejected with 503.
const MAX_QUEUED: usize = 16;
/// Since its last use. Longer than usual scrape intervals.
const VERIFIED_TTL: Duration = Duration::from_secs(600);
/// Maximum number of verified passwords. Scrapers use far fewer.
const MAX_VERIFIED: usize = 1024;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// Too many passwords wait to be hashed.
    Busy,
}

/// bcrypt hashes by user name.
#[derive(Debug)]
pub(crate) struct Users {
    hashes: BTreeMap<String, String>,
    /// Hashes that no password has, one with the cost of each user's hash. Passwords of unknown users are checked
    /// against them, so that the response time does not tell which users exist.
    dummy_hashes: Vec<String>,
}

impl Users {
    /// # Errors
    /// If a value is not a bcrypt hash.
    pub(crate) fn new(hashes: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut dummy_hashes = Vec::with_capacity(hashes.len());
        for (user, hash) in &hashes {
            let parts: bcrypt::HashParts =
                hash.parse().map_err(|_| ConfigError::PasswordHash { user: user.clone() })?;
            dummy_hashes.push(format!("$2y${:02}${}", parts.get_cost(), ".".repeat(53)));
        }
        Ok(Self { hashes, dummy_hashes })
    }

    /// Whether no password is required.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

struct Job {
    password: Vec<u8>,
    hash: String,
    reply: oneshot::Sender<bool>,
}

/// The thread, its queue and its results.
#[derive(Debug)]
pub(crate) struct PasswordChecker {
    jobs: SyncSender<Job>,
    /// Verified passwords, with the time of their last use.
    verified: Mutex<HashMap<Digest, Instant>>,
    /// Checks that requests are waiting for.
    in_progress: Mutex<HashMap<Digest, Weak<OnceCell<bool>>>>,
    key: hmac::Key,
}

/// Keyed digest of user, password and hash: no password stays in memory.
type Digest = [u8; 32];

impl PasswordChecker {
    /// Creates the thread. It also calls `reload` at every interval.
    ///
    /// # Errors
    /// If the thread cannot be created, or the system has no random bytes.
    pub(crate) fn start(interval: Duration, reload: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(MAX_QUEUED);
        std::thread::Builder::new().name("passwords".into()).spawn(move || run(&queue, interval, reload))?;
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system returns no random bytes"))?;
        Ok(Self { jobs, verified: Mutex::default(), in_progress: Mutex::default(), key })
    }

    /// Checks the value of an `Authorization` header.
    pub(crate) async fn check(&self, users: &Users, authorization: Option<&[u8]>) -> Verdict {
        let Some((user, password)) = authorization.and_then(parse_basic) else { return Verdict::Wrong };
        let known = std::str::from_utf8(&user).ok().and_then(|user| users.hashes.get(user));
        let Some(hash) = known.or_else(|| self.dummy_hash(users, &user)) else { return Verdict::Wrong };
        let digest = self.digest(&[&user, &password, hash.as_bytes()]);
        if known.is_some() && self.was_verified(&digest, Instant::now()) {
            return Verdict::Right;
        }
        match self.hash_once(digest, password, hash).await {
            None => Verdict::Busy,
            Some(is_right) if is_right && known.is_some() => {
                self.remember(digest, Instant::now());
                Verdict::Right
            }
            Some(_) => Verdict::Wrong,
        }
    }

    /// Selects a dummy hash by the name of the user: the same name always has the same cost, like a known user.
    fn dummy_hash<'a>(&self, users: &'a Users, user: &[u8]) -> Option<&'a String> {
        let [first, second, ..] = self.digest(&[user]);
        let number = usize::from(u16::from_le_bytes([first, second]));
        users.dummy_hashes.get(number % users.dummy_hashes.len().max(1))
    }

    /// Whether the password has this hash; `None` if the queue is full. Concurrent calls with the same digest share
    /// one check.
    async fn hash_once(&self, digest: Digest, password: Vec<u8>, hash: &str) -> Option<bool> {
        let check = {
            let mut in_progress = lock(&self.in_progress);
            in_progress.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| {
                in_progress.retain(|_, check| check.strong_count() > 0);
                let check = Arc::new(OnceCell::new());
                in_progress.insert(digest, Arc::downgrade(&check));
                check
            })
        };
        let run_check = async || {
            let (reply, result) = oneshot::channel();
            match self.jobs.try_send(Job { password, hash: hash.to_owned(), reply }) {
                Ok(()) => result.await.map_err(|_| ()),
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(()),
            }
        };
        check.get_or_try_init(run_check).await.ok().copied()
    }

    /// The length precedes each part, so that different lists have different digests.
    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Whether this password was verified before. Extends the time for which it is cached.
    fn was_verified(&self, digest: &Digest, now: Instant) -> bool {
        let mut verified = lock(&self.verified);
        let is_remembered = |used: &&mut Instant| now.saturating_duration_since(**used) < VERIFIED_TTL;
        let Some(last_used) = verified.get_mut(digest).filter(is_remembered) else {
            return false;
        };
        *last_used = now;
        true
    }

    fn remember(&self, digest: Digest, now: Instant) {
        let mut verified = lock(&self.verified);
        if verified.len() >= MAX_VERIFIED {
            verified.retain(|_, last_used| now.saturating_duration_since(*last_used) < VERIFIED_TTL);
        }
        if verified.len() < MAX_VERIFIED {
            verified.insert(digest, now);
        }
    }
}

/// No code that runs under these locks can panic between two changes, so a poisoned lock is still consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread. Returns when the last sender is dropped.
fn run(queue: &Receiver<Job>, interval: Duration, mut reload: impl FnMut()) {
    let mut next_reload = Instant::now() + interval;
    loop {
        match queue.recv_timeout(next_reload.saturating_duration_since(Instant::now())) {
            // A closed reply means that the client has disconnected.
            Ok(Job { password, hash, reply }) if !reply.is_closed() => {
                // bcrypt uses the first 72 bytes, as in htpasswd and in other exporters.
                let _ = reply.send(bcrypt::verify(&password, &hash).unwrap_or(false));
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if next_reload <= Instant::now() {
            reload();
            next_reload = Instant::now() + interval;
        }
    }
}

/// `Basic <base64 of user:password>` (RFC 7617).
fn parse_basic(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One user, with the password "wonderland" and the lowest cost.
    fn users() -> Users {
        let hash = bcrypt::hash("wonderland", 4).unwrap();
        Users::new(BTreeMap::from([("alice".to_owned(), hash)])).unwrap()
    }

    /// Never reloads.
    fn start() -> io::Result<PasswordChecker> {
        PasswordChecker::start(Duration::from_secs(3600), || ())
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    fn check(passwords: &PasswordChecker, users: &Users, value: Option<&[u8]>) -> Verdict {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(passwords.check(users, value))
    }

    #[test]
    fn only_the_right_password_of_a_known_user_is_accepted() {
        let (passwords, users) = (start().unwrap(), users());
        let check = |text: &str| check(&passwords, &users, Some(&basic(text)));
        assert_eq!(check("alice:wonderland"), Verdict::Right);
        assert_eq!(passwords.verified.lock().unwrap().len(), 1);
        assert_eq!(check("alice:wonderland"), Verdict::Right, "remembered");
        for wrong in ["alice:", "alice:Wonderland", "bob:wonderland", "alicew:onderland", "alice", ":", ""] {
            assert_eq!(check(wrong), Verdict::Wrong, "{wrong}");
        }
        assert_eq!(check(&format!("alice:{}", "x".repeat(500))), Verdict::Wrong);
        assert_eq!(passwords.verified.lock().unwrap().len(), 1, "wrong passwords are not remembered");
    }

    #[test]
    fn malformed_headers_are_rejected() {
        let (passwords, users) = (start().unwrap(), users());
        for value in
            [&b""[..], b"Basic", b"Basic ", b"Basic !!!", b"Bearer abc", b"\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(check(&passwords, &users, Some(value)), Verdict::Wrong);
        }
        assert_eq!(check(&passwords, &users, None), Verdict::Wrong);
    }

    #[test]
    fn a_changed_hash_invalidates_a_remembered_password() {
        let passwords = start().unwrap();
        assert_eq!(check(&passwords, &users(), Some(&basic("alice:wonderland"))), Verdict::Right);
        let changed =
            Users::new(BTreeMap::from([("alice".to_owned(), bcrypt::hash("other", 4).unwrap())])).unwrap();
        assert_eq!(check(&passwords, &changed, Some(&basic("alice:wonderland"))), Verdict::Wrong);
    }

    #[test]
    fn passwords_longer_than_72_bytes_are_accepted() {
        let passwords = start().unwrap();
        for length in [71, 72, 73, 200] {
            let password = "x".repeat(length);
            let hash = bcrypt::hash(&password, 4).unwrap();
            let users = Users::new(BTreeMap::from([("alice".to_owned(), hash)])).unwrap();
            let check = |text: &str| check(&passwords, &users, Some(&basic(&format!("alice:{text}"))));
            assert_eq!(check(&password), Verdict::Right, "{length}");
            assert_eq!(check(&password[..70]), Verdict::Wrong, "{length}");
        }
    }

    #[test]
    fn concurrent_checks_of_one_password_share_one_hash() {
        // The thread is blocked in its reload callback until all requests have queued.
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let reloads = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&reloads);
        let passwords = PasswordChecker::start(Duration::ZERO, move || {
            *counter.lock().unwrap() += 1;
            let _ = gate.recv();
        })
        .unwrap();
        let users = users();
        while *reloads.lock().unwrap() == 0 {
            std::thread::yield_now();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let value = basic("alice:wonderland");
        let verdicts = runtime.block_on(async {
            let all = (0..10 * MAX_QUEUED).map(|_| passwords.check(&users, Some(&value)));
            let all = futures_util::future::join_all(all);
            tokio::join!(all, async { drop(go) }).0
        });
        assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Right), "{verdicts:?}");
    }

    #[test]
    fn use_extends_the_time_for_which_a_password_is_remembered() {
        let passwords = start().unwrap();
        let digest = passwords.digest(&[b"alice:wonderland"]);
        let now = Instant::now();
        passwords.remember(digest, now);
        let almost = VERIFIED_TTL * 9 / 10;
        assert!(passwords.was_verified(&digest, now + almost));
        assert!(passwords.was_verified(&digest, now + almost * 2), "counted from its last use");
        assert!(!passwords.was_verified(&digest, now + almost * 2 + VERIFIED_TTL));
    }

    #[test]
    fn unknown_users_cost_as_much_as_known_users() {
        let hash = |cost| bcrypt::hash("x", cost).unwrap();
        let users = [("alice".to_owned(), hash(4)), ("bob".to_owned(), hash(6))];
        let users = Users::new(BTreeMap::from(users)).unwrap();
        let passwords = start().unwrap();
        let cost = |name: &str| {
            let hash = passwords.dummy_hash(&users, name.as_bytes()).expect("there are users");
            assert!(!bcrypt::verify("", hash).unwrap_or(false));
            hash.parse::<bcrypt::HashParts>().expect("a hash").get_cost()
        };
        let costs: Vec<u32> = (0..200).map(|number| cost(&format!("user{number}"))).collect();
        for cost in [4, 6] {
            let share = costs.iter().filter(|&&it| it == cost).count();
            assert!((50..=150).contains(&share), "{share} of 200 at {cost}");
        }
        assert_eq!(costs[0], cost("user0"), "always the same");
    }

    #[test]
    fn an_invalid_hash_is_reported_with_the_user() {
        let error = Users::new(BTreeMap::from([("bob".to_owned(), "secret".to_owned())])).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("bob") && error.contains("htpasswd") && !error.contains("secret"), "{error}");
    }
}
