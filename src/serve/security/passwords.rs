//! Checks passwords: on a thread of its own, a few at a time, each once for all who bring it at the same time. What was
//! right is remembered while it is used.

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

/// Hashes that wait for their turn; whoever comes then is told to come again.
const MAX_WAITING: usize = 16;
/// After its last use. A scrape interval of some minutes still finds its password remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
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
    /// What users who are not there are checked against, so that they take as long as one who is: a hash that nothing
    /// has, at each user's cost.
    dummy_hashes: Vec<String>,
}

impl Users {
    /// # Errors
    /// One line that names the user whose hash is none.
    pub fn new(hashes: BTreeMap<String, String>) -> Result<Self, String> {
        let mut dummy_hashes = Vec::with_capacity(hashes.len());
        for (name, hash) in &hashes {
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| {
                format!("basic_auth_users: what {name:?} has is no bcrypt hash; make one with htpasswd -nBC 10 \"\"")
            })?;
            dummy_hashes.push(format!("$2y${:02}${}", parts.get_cost(), ".".repeat(53)));
        }
        Ok(Self { hashes, dummy_hashes })
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
    /// When each that was right was last brought.
    right: Mutex<HashMap<Digest, Instant>>,
    /// What is being checked, for as long as somebody waits for it.
    checks: Mutex<HashMap<Digest, Weak<OnceCell<bool>>>>,
    key: hmac::Key,
}

/// Of name, password and hash, with a key: no password stays in memory.
type Digest = [u8; 32];

impl Passwords {
    /// Makes the thread, which also does `look` at every interval.
    ///
    /// # Errors
    /// When it cannot be made, or the system has no randomness.
    pub fn start(interval: Duration, look: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        std::thread::Builder::new()
            .name("passwords".into())
            .spawn(move || serve(&waiting, interval, look))?;
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        Ok(Self { jobs, right: Mutex::default(), checks: Mutex::default(), key })
    }

    /// Checks the value of an `Authorization` header.
    pub async fn check(&self, users: &Users, authorization: Option<&[u8]>) -> Verdict {
        let Some((name, password)) = authorization.and_then(parse_basic) else { return Verdict::Wrong };
        let known = std::str::from_utf8(&name).ok().and_then(|name| users.hashes.get(name));
        let Some(hash) = known.or_else(|| self.dummy_hash(users, &name)) else { return Verdict::Wrong };
        let digest = self.digest(&[&name, &password, hash.as_bytes()]);
        if known.is_some() && self.remembers(&digest, Instant::now()) {
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

    /// The same for a name whenever it comes, and for others another, so that no cost tells who is there.
    fn dummy_hash<'a>(&self, users: &'a Users, name: &[u8]) -> Option<&'a String> {
        let [first, second, ..] = self.digest(&[name]);
        let place = usize::from(u16::from_le_bytes([first, second]));
        users.dummy_hashes.get(place % users.dummy_hashes.len().max(1))
    }

    /// Whether the password has this hash; `None` where too many wait. Whoever comes first has it hashed, and those who
    /// bring the same meanwhile wait for that.
    async fn hash_once(&self, digest: Digest, password: Vec<u8>, hash: &str) -> Option<bool> {
        let check = {
            let mut checks = lock(&self.checks);
            checks.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| {
                checks.retain(|_, check| check.strong_count() > 0);
                let check = Arc::new(OnceCell::new());
                checks.insert(digest, Arc::downgrade(&check));
                check
            })
        };
        let make = async || {
            let (answer, found) = oneshot::channel();
            match self.jobs.try_send(Job { password, hash: hash.to_owned(), answer }) {
                Ok(()) => found.await.map_err(|_| ()),
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(()),
            }
        };
        check.get_or_try_init(make).await.ok().copied()
    }

    /// Lengths stand before the parts, so that no two lists read alike.
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

    /// Whether it was right a while ago; so it is now.
    fn remembers(&self, digest: &Digest, now: Instant) -> bool {
        let mut right = lock(&self.right);
        let Some(used) =
            right.get_mut(digest).filter(|used| now.saturating_duration_since(**used) < REMEMBERED_FOR)
        else {
            return false;
        };
        *used = now;
        true
    }

    fn remember(&self, digest: Digest, now: Instant) {
        let mut right = lock(&self.right);
        if right.len() >= MAX_REMEMBERED {
            right.retain(|_, used| now.saturating_duration_since(*used) < REMEMBERED_FOR);
        }
        if right.len() < MAX_REMEMBERED {
            right.insert(digest, now);
        }
    }
}

/// Nothing that is done under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends with the last sender.
fn serve(waiting: &Receiver<Job>, interval: Duration, mut look: impl FnMut()) {
    let mut next = Instant::now() + interval;
    loop {
        match waiting.recv_timeout(next.saturating_duration_since(Instant::now())) {
            // Whoever has left needs no answer.
            Ok(Job { password, hash, answer }) if !answer.is_closed() => {
                // Of 72 bytes, if there are more: as htpasswd hashes them, and all others compare them.
                let _ = answer.send(bcrypt::verify(&password, &hash).unwrap_or(false));
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if next <= Instant::now() {
            look();
            next = Instant::now() + interval;
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

    /// With nothing to look at meanwhile.
    fn start() -> io::Result<Passwords> {
        Passwords::start(Duration::from_secs(3600), || ())
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
        let (passwords, users) = (start().unwrap(), users());
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
        let (passwords, users) = (start().unwrap(), users());
        for value in
            [&b""[..], b"Basic", b"Basic ", b"Basic !!!", b"Bearer abc", b"\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(check(&passwords, &users, Some(value)), Verdict::Wrong);
        }
        assert_eq!(check(&passwords, &users, None), Verdict::Wrong);
    }

    #[test]
    fn a_password_that_has_changed_is_asked_for_again() {
        let passwords = start().unwrap();
        assert_eq!(check(&passwords, &users(), Some(&basic("alice:wonderland"))), Verdict::Right);
        let changed =
            Users::new(BTreeMap::from([("alice".to_owned(), bcrypt::hash("other", 4).unwrap())])).unwrap();
        assert_eq!(check(&passwords, &changed, Some(&basic("alice:wonderland"))), Verdict::Wrong);
    }

    #[test]
    fn passwords_of_any_length() {
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
    fn what_many_bring_at_once_is_hashed_once() {
        // The thread hashes nothing before it has looked, and it looks when it is let.
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let looks = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&looks);
        let passwords = Passwords::start(Duration::ZERO, move || {
            *counted.lock().unwrap() += 1;
            let _ = gate.recv();
        })
        .unwrap();
        let users = users();
        while *looks.lock().unwrap() == 0 {
            std::thread::yield_now();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let value = basic("alice:wonderland");
        let verdicts = runtime.block_on(async {
            let all = (0..10 * MAX_WAITING).map(|_| passwords.check(&users, Some(&value)));
            let all = futures_util::future::join_all(all);
            tokio::join!(all, async { drop(go) }).0
        });
        assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Right), "{verdicts:?}");
    }

    #[test]
    fn a_password_is_remembered_while_it_is_used() {
        let passwords = start().unwrap();
        let digest = passwords.digest(&[b"alice:wonderland"]);
        let now = Instant::now();
        passwords.remember(digest, now);
        let (almost, too_late) = (REMEMBERED_FOR * 9 / 10, REMEMBERED_FOR * 2);
        assert!(passwords.remembers(&digest, now + almost));
        assert!(passwords.remembers(&digest, now + almost * 2), "counted from its last use");
        assert!(!passwords.remembers(&digest, now + almost * 2 + too_late));
    }

    #[test]
    fn strangers_cost_what_users_cost() {
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
    fn a_hash_that_is_none_is_named() {
        let error = Users::new(BTreeMap::from([("bob".to_owned(), "secret".to_owned())])).unwrap_err();
        assert!(error.contains("bob") && error.contains("htpasswd") && !error.contains("secret"), "{error}");
    }
}
