//! How many new node names a container may bring: a token bucket that holds an hour's worth, so that a container that
//! renames its processes at will costs Prometheus a limited number of series.

use std::time::Duration;

use rustc_hash::FxHashMap;

/// The budget of one container. Times are monotonic.
#[derive(Debug)]
pub struct NameBudget {
    tokens: f64,
    refilled_at: Duration,
    /// Names that were admitted, by hash, with the time at which they were last exported.
    known: FxHashMap<u64, Duration>,
}

impl NameBudget {
    const HOUR: Duration = Duration::from_secs(3600);

    /// A full budget.
    #[must_use]
    pub fn new(per_hour: u32, now: Duration) -> Self {
        Self { tokens: f64::from(per_hour), refilled_at: now, known: FxHashMap::default() }
    }

    /// Adds the tokens of the time since the last refill, and forgets names that were not exported for an hour.
    pub fn refill(&mut self, per_hour: u32, now: Duration) {
        let elapsed = now.saturating_sub(self.refilled_at).as_secs_f64();
        let per_hour = f64::from(per_hour);
        self.tokens = (self.tokens + elapsed * per_hour / Self::HOUR.as_secs_f64()).min(per_hour);
        self.refilled_at = now;
        self.known.retain(|_, last_exported| now.saturating_sub(*last_exported) < Self::HOUR);
    }

    /// Whether a name (given by its hash) may be exported. A new name takes a token.
    pub fn admit(&mut self, name: u64, now: Duration) -> bool {
        if let Some(last_exported) = self.known.get_mut(&name) {
            *last_exported = now;
            return true;
        }
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        self.known.insert(name, now);
        true
    }
}
