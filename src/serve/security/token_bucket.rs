//! The rate limit of the web configuration: a token bucket. Pure.

use std::time::{Duration, Instant};

use crate::serve::security::config_error::ConfigError;
use crate::serve::security::config_file::RateLimitSection;

/// Gains one token per interval, up to the burst. A request takes one token.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    interval: Duration,
    burst: u32,
    tokens: u32,
    filled_at: Instant,
}

impl TokenBucket {
    /// `None` if there is no limit. The bucket starts full.
    ///
    /// # Errors
    /// If the interval is not a duration, or the burst is 0.
    pub(crate) fn new(section: &RateLimitSection) -> Result<Option<Self>, ConfigError> {
        let Some(interval) = section.interval()? else { return Ok(None) };
        let burst = section.burst.unwrap_or_default();
        if burst == 0 {
            return Err(ConfigError::RateBurst);
        }
        Ok(Some(Self { interval, burst, tokens: burst, filled_at: Instant::now() }))
    }

    /// Takes a token. Returns `false` if the bucket is empty.
    pub(crate) fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let intervals = now.saturating_duration_since(self.filled_at).as_nanos() / self.interval.as_nanos();
        let missing = self.burst - self.tokens;
        if intervals >= u128::from(missing) {
            (self.tokens, self.filled_at) = (self.burst, now);
        } else {
            self.tokens += intervals as u32;
            self.filled_at += self.interval * intervals as u32;
        }
        let Some(left) = self.tokens.checked_sub(1) else { return false };
        self.tokens = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_burst_then_one_request_per_interval() {
        let section =
            |interval: &str, burst| RateLimitSection { interval: Some(interval.into()), burst: Some(burst) };
        let mut bucket = TokenBucket::new(&section("1s", 3)).unwrap().unwrap();
        let start = bucket.filled_at;
        let mut taken = |milliseconds| bucket.take_at(start + Duration::from_millis(milliseconds));
        assert_eq!([taken(0), taken(1), taken(2), taken(3)], [true, true, true, false]);
        assert_eq!([taken(900), taken(1100), taken(1200), taken(2100)], [false, true, false, true]);
        assert_eq!([taken(60_000), taken(60_001), taken(60_002), taken(60_003)], [true, true, true, false]);
        assert!(TokenBucket::new(&section("0", 5)).unwrap().is_none());
        assert!(TokenBucket::new(&section("0s", 5)).unwrap().is_none());
        assert!(TokenBucket::new(&section("1s", 0)).is_err());
        assert!(TokenBucket::new(&section("soon", 5)).unwrap_err().to_string().contains("1s"));
    }
}
