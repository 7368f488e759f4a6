//! Limits the new node names of a container with a token bucket that holds the tokens of one hour. A container that
//! keeps renaming its processes therefore creates a limited number of series in Prometheus.

use std::time::Duration;

use rustc_hash::FxHashMap;

/// The budget of one container. All times are monotonic.
#[derive(Debug)]
pub struct NameBudget {
    tokens: f64,
    refilled_at: Duration,
    /// Admitted names, by hash, with the time of their last export.
    known: FxHashMap<u64, Duration>,
}

impl NameBudget {
    const HOUR: Duration = Duration::from_secs(3600);

    /// A full budget.
    #[must_use]
    pub fn new(per_hour: u32, now: Duration) -> Self {
        Self { tokens: f64::from(per_hour), refilled_at: now, known: FxHashMap::default() }
    }

    /// Adds the tokens for the time since the last refill, and removes names that were not exported for an hour.
    pub fn refill(&mut self, per_hour: u32, now: Duration) {
        let elapsed = now.saturating_sub(self.refilled_at).as_secs_f64();
        let per_hour = f64::from(per_hour);
        self.tokens = (self.tokens + elapsed * per_hour / Self::HOUR.as_secs_f64()).min(per_hour);
        self.refilled_at = now;
        self.known.retain(|_, last_exported| now.saturating_sub(*last_exported) < Self::HOUR);
    }

    /// Whether the name with this hash may be exported. A new name takes a token.
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
