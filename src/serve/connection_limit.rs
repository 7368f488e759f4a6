//! Room for who asks: a bounded number of connections, of which the idlest gives way to the newest.
//!
//! A client holds a place until it is done. When all are taken, the one that has asked for nothing for the longest
//! time is let go, so that slow clients, however many, cannot keep a scraper out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::serve::config::Timeouts;

/// A crowd that is back after less time than this is the same crowd.
const CALM: Duration = Duration::from_secs(60);

/// The places, and who has them.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    timeouts: Timeouts,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By how long ago each has asked, the longest first.
    taken: BTreeMap<u64, Taken>,
    last_let_go: Option<Instant>,
}

#[derive(Debug)]
struct Taken {
    since: Instant,
    leave: Arc<Notify>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    connections: Arc<Connections>,
    key: Mutex<u64>,
    leave: Arc<Notify>,
}

impl Connections {
    #[must_use]
    pub fn new(max: usize, timeouts: Timeouts) -> Self {
        Self { max, timeouts, state: Mutex::default(), freed: Notify::new() }
    }

    /// A place for one more, as soon as there is one.
    pub async fn take(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            match self.try_take() {
                Ok(place) => return place,
                Err(wait) => {
                    tokio::select! {
                        () = self.freed.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Makes room for one where something else than places is short, as descriptors are.
    pub fn evict_idlest(&self) {
        let mut state = lock(&self.state);
        if let Some(idlest) = state.taken.first_entry()
            && idlest.get().since.elapsed() >= self.timeouts.min_idle
        {
            idlest.remove().leave.notify_one();
        }
    }

    /// # Errors
    /// How long it takes until somebody may be let go.
    fn try_take(self: &Arc<Self>) -> Result<ConnectionSlot, Duration> {
        let mut state = lock(&self.state);
        if state.taken.len() >= self.max
            && let Some(idlest) = state.taken.first_entry()
        {
            let idle = idlest.get().since.elapsed();
            if idle < self.timeouts.min_idle {
                return Err(self.timeouts.min_idle - idle);
            }
            idlest.remove().leave.notify_one();
            state.note_crowd(self.max);
        }
        let leave = Arc::new(Notify::new());
        let key = state.enter(Arc::clone(&leave));
        Ok(ConnectionSlot { connections: Arc::clone(self), key: Mutex::new(key), leave })
    }
}

impl State {
    fn enter(&mut self, leave: Arc<Notify>) -> u64 {
        let key = self.next;
        self.next += 1;
        self.taken.insert(key, Taken { since: Instant::now(), leave });
        key
    }

    fn note_crowd(&mut self, max: usize) {
        if self.last_let_go.is_none_or(|last| last.elapsed() > CALM) {
            warn!(
                connections = max,
                "all connections are taken, and those that ask for nothing are let go; find out who holds them, or \
                 raise --web.max-connections"
            );
        }
        self.last_let_go = Some(Instant::now());
    }
}

impl ConnectionSlot {
    /// Its holder has asked for something.
    pub fn touch(&self) {
        let mut key = lock(&self.key);
        let mut state = lock(&self.connections.state);
        if state.taken.remove(&key).is_some() {
            *key = state.enter(Arc::clone(&self.leave));
        }
    }

    /// Resolves when the last request was so long ago that its answer should have been read.
    pub async fn overdue(&self) {
        while let Some(left) = self.time_left() {
            tokio::time::sleep(left).await;
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let key = lock(&self.key);
        let since = lock(&self.connections.state).taken.get(&key)?.since;
        self.connections.timeouts.response.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Resolves when somebody else has the place.
    pub async fn lost(&self) {
        self.leave.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let key = *lock(&self.key);
        if lock(&self.connections.state).taken.remove(&key).is_some() {
            self.connections.freed.notify_one();
        }
    }
}

/// Nothing that is done under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        // On a clock that moves on by itself when everybody waits: no test depends on the machine's speed.
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(future)
    }

    async fn is_lost(place: &ConnectionSlot) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.lost()).await.is_ok()
    }

    #[test]
    fn the_connection_that_was_idle_longest_is_evicted_after_its_minimum_idle_time() {
        block_on(async {
            let timeouts = Timeouts::default();
            let connections = Arc::new(Connections::new(2, timeouts));
            let (first, second) = (connections.take().await, connections.take().await);
            let begun = Instant::now();
            first.touch();
            let _third = connections.take().await;
            let waited = begun.elapsed();
            assert!(waited >= timeouts.min_idle && waited < timeouts.min_idle * 2, "{waited:?}");
            assert!(is_lost(&second).await && !is_lost(&first).await);
            // An evicted connection gets no slot back by a late request.
            second.touch();
            drop(second);
            let _fourth = connections.take().await;
            assert!(is_lost(&first).await);
            assert_eq!(lock(&connections.state).taken.len(), 2);
        });
    }

    #[test]
    fn a_slot_that_is_given_back_is_free_at_once() {
        block_on(async {
            let connections = Arc::new(Connections::new(1, Timeouts::default()));
            let slot = connections.take().await;
            let begun = Instant::now();
            let (next, ()) = tokio::join!(connections.take(), async { drop(slot) });
            assert_eq!(begun.elapsed(), Duration::ZERO);
            drop(next);
            assert!(lock(&connections.state).taken.is_empty());
        });
    }

    #[test]
    fn a_response_that_is_not_read_ends_after_its_timeout_counted_from_the_last_request() {
        block_on(async {
            let timeouts = Timeouts::default();
            let connections = Arc::new(Connections::new(1, timeouts));
            let slot = connections.take().await;
            tokio::time::sleep(timeouts.response / 2).await;
            slot.touch();
            let begun = Instant::now();
            slot.overdue().await;
            let waited = begun.elapsed();
            assert!(waited >= timeouts.response && waited < timeouts.response * 2, "{waited:?}");
        });
    }
}
