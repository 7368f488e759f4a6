//! Checks passwords: on a thread of its own, a few at a time, and what was right is remembered for a while.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::oneshot;

/// Hashes that wait for their turn; whoever comes then is told to come again.
const MAX_WAITING: usize = 16;
/// A scrape interval of some minutes still finds its password remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// How long a change of the files goes unnoticed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// More than a file has users who scrape.
const MAX_REMEMBERED: usize = 1024;

/// Whether somebody is who he says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// Too many are being checked.
    Busy,
}

/// Hashes by user name, checked to be hashes.
#[derive(Debug)]
pub struct Users {
    hashes: BTreeMap<String, String>,
    /// What a user who is not there is checked against, so that it takes as long.
    stand_in: String,
}

impl Users {
    /// # Errors
    /// One line that names the user whose hash is none.
    pub fn new(hashes: BTreeMap<String, String>) -> Result<Self, String> {
        let mut most = 4;
        for (name, hash) in &hashes {
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| {
                format!("basic_auth_users: what {name:?} has is no bcrypt hash; make one with htpasswd -nBC 10 \"\"")
            })?;
            most = most.max(parts.get_cost());
        }
        Ok(Self { hashes, stand_in: format!("$2y${most:02}${}", ".".repeat(53)) })
    }

    /// Whether everybody may come in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

struct Job {
    password: Vec<u8>,
    hash: String,
    answer: oneshot::Sender<bool>,
}

/// The thread, and what it found.
#[derive(Debug)]
pub struct Passwords {
    jobs: SyncSender<Job>,
    /// When each was found to be right, by a keyed digest: no password stays in memory.
    right: Mutex<HashMap<[u8; 32], Instant>>,
    key: hmac::Key,
}

impl Passwords {
    /// Makes the thread, which also does `look` every second.
    ///
    /// # Errors
    /// When it cannot be made, or the system has no randomness.
    pub fn start(look: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        std::thread::Builder::new().name("passwords".into()).spawn(move || serve(&waiting, look))?;
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        Ok(Self { jobs, right: Mutex::default(), key })
    }

    /// Checks the value of an `Authorization` header.
    pub async fn check(&self, users: &Users, authorization: Option<&[u8]>) -> Verdict {
        let Some((name, password)) = authorization.and_then(parse_basic) else { return Verdict::Wrong };
        let known = std::str::from_utf8(&name).ok().and_then(|name| users.hashes.get(name));
        let hash = known.unwrap_or(&users.stand_in);
        let digest = self.digest(&[&name, &password, hash.as_bytes()]);
        if known.is_some() && self.remembers(&digest) {
            return Verdict::Right;
        }
        let (answer, found) = oneshot::channel();
        match self.jobs.try_send(Job { password, hash: hash.clone(), answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Verdict::Busy,
        }
        if !found.await.unwrap_or(false) || known.is_none() {
            return Verdict::Wrong;
        }
        self.remember(digest);
        Verdict::Right
    }

    /// Lengths stand before the parts, so that no two triples read alike.
    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(digest).is_some_and(|since| since.elapsed() < REMEMBERED_FOR)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= MAX_REMEMBERED {
            right.retain(|_, since| since.elapsed() < REMEMBERED_FOR);
        }
        if right.len() < MAX_REMEMBERED {
            right.insert(digest, Instant::now());
        }
    }
}

/// Ends with the last sender.
fn serve(waiting: &Receiver<Job>, mut look: impl FnMut()) {
    let mut next = Instant::now() + LOOK_INTERVAL;
    loop {
        match waiting.recv_timeout(next.saturating_duration_since(Instant::now())) {
            // Whoever has left needs no answer.
            Ok(Job { password, hash, answer }) if !answer.is_closed() => {
                // Longer than 72 bytes is no password of bcrypt's.
                let _ = answer.send(bcrypt::non_truncating_verify(&password, &hash).unwrap_or(false));
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if next <= Instant::now() {
            look();
            next = Instant::now() + LOOK_INTERVAL;
        }
    }
}

/// `Basic <base64 of name:password>` (RFC 7617).
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

    /// Of "wonderland", with the least cost.
    fn users() -> Users {
        let hash = bcrypt::hash("wonderland", 4).unwrap();
        Users::new(BTreeMap::from([("alice".to_owned(), hash)])).unwrap()
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    fn check(passwords: &Passwords, users: &Users, value: Option<&[u8]>) -> Verdict {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(passwords.check(users, value))
    }

    #[test]
    fn right_wrong_and_unknown() {
        let (passwords, users) = (Passwords::start(|| ()).unwrap(), users());
        let check = |text: &str| check(&passwords, &users, Some(&basic(text)));
        assert_eq!(check("alice:wonderland"), Verdict::Right);
        assert_eq!(passwords.right.lock().unwrap().len(), 1);
        assert_eq!(check("alice:wonderland"), Verdict::Right, "remembered");
        for wrong in ["alice:", "alice:Wonderland", "bob:wonderland", "alicew:onderland", "alice", ":", ""] {
            assert_eq!(check(wrong), Verdict::Wrong, "{wrong}");
        }
        assert_eq!(check(&format!("alice:{}", "x".repeat(500))), Verdict::Wrong);
        assert_eq!(passwords.right.lock().unwrap().len(), 1, "what is wrong is not remembered");
    }

    #[test]
    fn headers_that_are_none() {
        let (passwords, users) = (Passwords::start(|| ()).unwrap(), users());
        for value in
            [&b""[..], b"Basic", b"Basic ", b"Basic !!!", b"Bearer abc", b"\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(check(&passwords, &users, Some(value)), Verdict::Wrong);
        }
        assert_eq!(check(&passwords, &users, None), Verdict::Wrong);
    }

    #[test]
    fn a_password_that_has_changed_is_asked_for_again() {
        let passwords = Passwords::start(|| ()).unwrap();
        assert_eq!(check(&passwords, &users(), Some(&basic("alice:wonderland"))), Verdict::Right);
        let changed =
            Users::new(BTreeMap::from([("alice".to_owned(), bcrypt::hash("other", 4).unwrap())])).unwrap();
        assert_eq!(check(&passwords, &changed, Some(&basic("alice:wonderland"))), Verdict::Wrong);
    }

    #[test]
    fn a_hash_that_is_none_is_named() {
        let error = Users::new(BTreeMap::from([("bob".to_owned(), "secret".to_owned())])).unwrap_err();
        assert!(error.contains("bob") && error.contains("htpasswd") && !error.contains("secret"), "{error}");
    }
}
