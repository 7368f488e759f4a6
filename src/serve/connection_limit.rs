//! The maximum number of connections. When it is reached, the connection that has been idle for the longest time is
//! closed for a new one, so that slow clients, however many, cannot block a scraper.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::serve::config::Timeouts;

/// Evictions are logged again after this time without one.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Hands out slots for connections.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max: usize,
    timeouts: Timeouts,
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_key: u64,
    /// By time of the last request, the longest idle first.
    active: BTreeMap<u64, Active>,
    last_eviction: Option<Instant>,
}

#[derive(Debug)]
struct Active {
    /// When the connection was accepted, or sent its last request.
    since: Instant,
    evicted: Arc<Notify>,
}

/// Permission for one connection. Dropping it releases the slot.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    key: Mutex<u64>,
    evicted: Arc<Notify>,
}

impl ConnectionLimit {
    #[must_use]
    pub(crate) fn new(max: usize, timeouts: Timeouts) -> Self {
        Self { max, timeouts, state: Mutex::default(), released: Notify::new() }
    }

    /// Waits until a slot is free, or a connection can be evicted.
    pub(crate) async fn acquire(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            match self.try_acquire() {
                Ok(slot) => return slot,
                Err(wait) => {
                    tokio::select! {
                        () = self.released.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Closes the longest idle connection, for example because the process is out of file descriptors.
    pub(crate) fn evict_idlest(&self) {
        let mut state = lock(&self.state);
        if let Some(idlest) = state.active.first_entry()
            && idlest.get().since.elapsed() >= self.timeouts.min_idle
        {
            idlest.remove().evicted.notify_one();
        }
    }

    /// # Errors
    /// The time until a connection can be evicted.
    fn try_acquire(self: &Arc<Self>) -> Result<ConnectionSlot, Duration> {
        let mut state = lock(&self.state);
        if state.active.len() >= self.max
            && let Some(idlest) = state.active.first_entry()
        {
            let idle = idlest.get().since.elapsed();
            if idle < self.timeouts.min_idle {
                return Err(self.timeouts.min_idle - idle);
            }
            idlest.remove().evicted.notify_one();
            state.log_eviction(self.max);
        }
        let evicted = Arc::new(Notify::new());
        let key = state.add(Arc::clone(&evicted));
        Ok(ConnectionSlot { limit: Arc::clone(self), key: Mutex::new(key), evicted })
    }
}

impl State {
    fn add(&mut self, evicted: Arc<Notify>) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.active.insert(key, Active { since: Instant::now(), evicted });
        key
    }

    fn log_eviction(&mut self, max: usize) {
        if self.last_eviction.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
            warn!(
                connections = max,
                "maximum of connections reached, closing the longest idle ones; check which clients hold them, or \
                 raise --web.max-connections"
            );
        }
        self.last_eviction = Some(Instant::now());
    }
}

impl ConnectionSlot {
    /// Marks the connection as active: it has sent a request.
    pub(crate) fn touch(&self) {
        let mut key = lock(&self.key);
        let mut state = lock(&self.limit.state);
        if state.active.remove(&key).is_some() {
            *key = state.add(Arc::clone(&self.evicted));
        }
    }

    /// Resolves when the time-out of a response has passed since the last request.
    pub(crate) async fn response_timeout(&self) {
        while let Some(remaining) = self.remaining() {
            tokio::time::sleep(remaining).await;
        }
    }

    fn remaining(&self) -> Option<Duration> {
        let key = lock(&self.key);
        let since = lock(&self.limit.state).active.get(&key)?.since;
        self.limit.timeouts.response.checked_sub(since.elapsed()).filter(|remaining| !remaining.is_zero())
    }

    /// Resolves when the slot was given to another connection.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let key = *lock(&self.key);
        if lock(&self.limit.state).active.remove(&key).is_some() {
            self.limit.released.notify_one();
        }
    }
}

/// No code that runs under these locks can panic between two changes, so a poisoned lock is still consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        // The clock advances when all tasks wait, so no test depends on the speed of the machine.
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(future)
    }

    async fn is_evicted(slot: &ConnectionSlot) -> bool {
        tokio::time::timeout(Duration::from_millis(1), slot.evicted()).await.is_ok()
    }

    #[test]
    fn the_longest_idle_connection_is_evicted_after_the_minimum_time() {
        block_on(async {
            let timeouts = Timeouts::default();
            let limit = Arc::new(ConnectionLimit::new(2, timeouts));
            let (first, second) = (limit.acquire().await, limit.acquire().await);
            let begun = Instant::now();
            first.touch();
            let _third = limit.acquire().await;
            assert_eq!(begun.elapsed(), timeouts.min_idle, "not earlier");
            assert!(is_evicted(&second).await && !is_evicted(&first).await);
            // A slot that was evicted changes nothing.
            second.touch();
            drop(second);
            let _fourth = limit.acquire().await;
            assert!(is_evicted(&first).await);
            assert_eq!(lock(&limit.state).active.len(), 2);
        });
    }

    #[test]
    fn a_released_slot_is_free_at_once() {
        block_on(async {
            let limit = Arc::new(ConnectionLimit::new(1, Timeouts::default()));
            let slot = limit.acquire().await;
            let begun = Instant::now();
            let (next, ()) = tokio::join!(limit.acquire(), async { drop(slot) });
            assert_eq!(begun.elapsed(), Duration::ZERO);
            drop(next);
            assert!(lock(&limit.state).active.is_empty());
        });
    }

    #[test]
    fn a_response_that_is_not_read_ends_after_its_timeout_counted_from_the_last_request() {
        block_on(async {
            let timeouts = Timeouts::default();
            let connections = Arc::new(ConnectionLimit::new(1, timeouts));
            let slot = connections.acquire().await;
            tokio::time::sleep(timeouts.response / 2).await;
            slot.touch();
            let begun = Instant::now();
            slot.response_timeout().await;
            let waited = begun.elapsed();
            assert!(waited >= timeouts.response && waited < timeouts.response * 2, "{waited:?}");
        });
    }
}
